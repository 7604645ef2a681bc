"""Training: structures per second for each batch size, and what a step consists of.

    OMP_NUM_THREADS=1 python benchmarks/batch_sizes.py [--only NAME]

Energies and forces are in the loss; data are 64 chains of 7 to 18 atoms of our own making
with random targets, 64 dimers of the examples, and 16 rattled cells of rock salt with
random targets. The model has its default size, or the smaller one of the chains. Times are
of the processor, the shorter of two epochs; `beside` is the share of what is neither
network nor derivatives nor optimizer: batches, loss, errors, and all bookkeeping.
"""

import argparse
import functools
import json
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from measure import write_results
from structures import crystal
from training import DIMERS, random_targets, training_time

from metatrain_lorem.network.lorem import Network
from metatrain_lorem.network.readout import Readout
from metatrain_lorem.trainer import Trainer


COUNT = 64
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
SMALL = {"max_degree": 3, "num_features": 64, "num_radial": 16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="data whose name contains this text")
    only = parser.parse_args().only
    logging.disable(logging.WARNING)
    data: dict[str, tuple[list[Atoms], dict[str, int]]] = {
        "chains, small model": (chains(COUNT), SMALL),
        "chains": (chains(COUNT), {}),
        "dimers": (dimers(), {}),
        "rock salt, 64 atoms": (random_targets(crystal(64, "NaCl cubic", 2.8), 16), {}),
    }
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (structures, model) in data.items():
            if only not in name:
                continue
            path = Path(folder) / "data.xyz"
            ase.io.write(path, structures)
            for batch_size in BATCH_SIZES:
                if batch_size > len(structures):
                    break
                result = measure(str(path), batch_size, len(structures), model)
                rows.append({"data": name, "batch size": batch_size, **result})
                print(json.dumps(rows[-1]), flush=True)
    write_results("batch_sizes_cpu", "cpu", rows)


def chains(count: int) -> list[Atoms]:
    """Linear carbon chains C3 to C14 with two hydrogen atoms at each end."""
    structures = []
    for i in range(count):
        num_carbon = 3 + i % 12
        x = 1.28 * np.arange(num_carbon)
        carbon = np.stack([x, 0 * x, 0 * x], axis=1)
        ends = [
            [s * 0.55 + (x[-1] if s > 0 else 0), y, 0] for s in (-1, 1) for y in (-1, 1)
        ]
        atoms = Atoms(f"C{num_carbon}H4", np.concatenate([carbon, ends]))
        (structure,) = random_targets(atoms, 1)
        structure.rattle(0.05, seed=i)
        structures.append(structure)
    return structures


def dimers() -> list[Atoms]:
    """Every so many of them; forces as they are, and relative energies."""
    structures = []
    for atoms in ase.io.read(DIMERS, ":")[:: 378 // COUNT][:COUNT]:
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        plain.info["energy"] = results["energy"]
        plain.arrays["forces"] = results["forces"]
        structures.append(plain)
    return structures


def measure(
    path: str, batch_size: int, count: int, model: dict[str, int]
) -> dict[str, float]:
    """Structures per second, milliseconds per step, and the share beside the network.

    :param count: number of structures in the file
    """
    epochs: list[tuple[float, float]] = []  # seconds, and those of the network
    inner = [0.0]
    restore = [
        timed(Network, "forward", inner),
        timed(Readout, "features", inner),
        timed(Readout, "forward", inner),
        timed(torch.autograd, "grad", inner),
        timed(torch.Tensor, "backward", inner),
        timed(torch.optim.Adam, "step", inner),
        timed(torch.optim.Adam, "zero_grad", inner),
    ]
    train_epoch = Trainer._train_epoch

    def epoch(*arguments: Any) -> Any:
        inner[0], start = 0.0, time.process_time()
        result = train_epoch(*arguments)
        epochs.append((time.process_time() - start, inner[0]))
        return result

    Trainer._train_epoch = epoch
    try:
        training_time("metatrain_lorem", batch_size, 3, path, model)
    finally:
        Trainer._train_epoch = train_epoch
        for undo in restore:
            undo()
    seconds, network = min(epochs[1:])  # structures are prepared in the first one
    return {
        "structures per s": count / seconds,
        "ms per step": 1e3 * seconds * batch_size / count,
        "beside": 1 - network / seconds,
    }


def timed(owner: Any, name: str, total: list[float]) -> Callable[[], None]:
    """Add the time of a function to ``total``, nested calls once; returns the undoing."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        before, start = total[0], time.process_time()
        result = function(*arguments, **options)
        total[0] = before + time.process_time() - start
        return result

    setattr(owner, name, call)
    return lambda: setattr(owner, name, function)


if __name__ == "__main__":
    main()
