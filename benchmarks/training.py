"""Training: time per epoch and memory of LOREM, lorem-jax and PET on the same data.

    python benchmarks/training.py [--jax-python jax-env/bin/python] [--only NAME]

Energies and forces are in the loss, models have their default size. A code trains for two
and for more epochs; the difference does not contain reading, fitting baselines,
preparation of structures or compilation. Rock salt and water carry random targets. Each
measurement has a process of its own. `loading` is the share of LOREM's time that goes into
making batches.
"""

import argparse
import copy
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from measure import peak_memory, write_results
from metatrain.utils.architectures import get_default_hypers, import_architecture
from metatrain.utils.data import DatasetInfo, get_atomic_types, get_dataset
from metatrain.utils.hypers import init_with_defaults
from metatrain.utils.loss import LossSpecification
from structures import crystal, water_box

from metatrain_lorem.training.batch import Batch
from metatrain_lorem.training.batches import Batches


DIMERS = Path(__file__).parents[1] / "examples" / "data" / "dimers_train.xyz"
# Data, number of structures, batch sizes
DATA: dict[str, tuple[Atoms | None, int, list[int]]] = {
    "dimers": (None, 378, [2, 8, 32]),
    "rock salt, 64 atoms": (crystal(64, "NaCl cubic", 2.8), 16, [1, 4, 16]),
    "water, 192 atoms": (water_box(), 8, [1, 4]),
}
ARCHITECTURES = ("metatrain_lorem", "pet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jax-python", help="interpreter that can import lorem")
    parser.add_argument("--only", default="", help="data whose name contains this text")
    parser.add_argument("--epochs", type=int, default=4, help="that are counted")
    parser.add_argument("--timeout", type=float, default=600, help="seconds")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, data, batch_size = arguments.child
        print(json.dumps(measure(name, data, int(batch_size), arguments.epochs)))
        return

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for data, (atoms, count, batch_sizes) in DATA.items():
            if arguments.only not in data:
                continue
            path = DIMERS
            if atoms is not None:
                path = Path(folder) / f"{count}.xyz"
                ase.io.write(path, random_targets(atoms, count))
            for batch_size in batch_sizes:
                row = {"data": data, "structures": count, "batch size": batch_size}
                rows.append(row | measure_all(path, batch_size, arguments))
                print(json.dumps(rows[-1]), flush=True)
    write_results("training_cpu", "cpu", rows)


def random_targets(atoms: Atoms, count: int) -> list[Atoms]:
    """Rattled copies with random energies and forces."""
    random = np.random.default_rng(0)
    structures = []
    for seed in range(count):
        structure = atoms.copy()
        structure.rattle(0.05, seed=seed)
        structure.info["energy"] = float(random.normal())
        structure.arrays["forces"] = random.normal(size=(len(atoms), 3))
        structures.append(structure)
    return structures


def measure_all(
    path: Path, batch_size: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Seconds and MiB of each code, ``None`` where it failed."""
    commands = {
        name: [sys.executable, __file__, "--epochs", str(arguments.epochs), "--child", name]
        for name in ARCHITECTURES
    }
    if arguments.jax_python:
        script = Path(__file__).with_name("lorem_jax_training_time.py")
        commands["lorem-jax"] = [arguments.jax_python, str(script)]
    row: dict[str, Any] = {}
    for name, command in commands.items():
        command = [*command, str(path), str(batch_size)]
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, timeout=arguments.timeout
            )
        except subprocess.TimeoutExpired:
            row[name] = None
            continue
        lines = result.stdout.strip().splitlines()
        row[name] = json.loads(lines[-1]) if result.returncode == 0 else None
    return row


def measure(name: str, data: str, batch_size: int, epochs: int) -> dict[str, float]:
    """Seconds per epoch and MiB of metatrain's trainer of an architecture."""
    logging.disable(logging.INFO)
    before = peak_memory()
    short = training_time(name, batch_size, 2, data)
    loading = measure_loading()
    seconds = training_time(name, batch_size, 2 + epochs, data) - short
    row = {"s": seconds / epochs, "MiB": peak_memory() - before}
    if name == "metatrain_lorem":
        # Each epoch trains and validates; structures are prepared in the first one.
        row["loading"] = sum(loading[4:]) / seconds
    return row


def measure_loading() -> list[float]:
    """A list that gets the seconds that the batches of each epoch of LOREM take."""
    seconds: list[float] = []
    original = Batches.epoch

    def epoch(self: Batches, number: int) -> Iterator[Batch]:
        batches = original(self, number)
        seconds.append(0.0)
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            seconds[-1] += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    Batches.epoch = epoch
    return seconds


def training_time(
    name: str,
    batch_size: int,
    num_epochs: int,
    data: str,
    changes: dict[str, Any] | None = None,
) -> float:
    """Seconds of a training on one CPU.

    :param changes: hyper-parameters of the model that are not the defaults
    """
    dataset, targets, _ = get_dataset(
        {
            "systems": {"read_from": data, "reader": "ase"},
            "targets": {"energy": energy_target(data)},
        }
    )
    info = DatasetInfo("Angstrom", get_atomic_types(dataset), targets)
    architecture = import_architecture(name)
    hypers = copy.deepcopy(get_default_hypers(name))
    hypers["model"] |= changes or {}
    hypers["training"] |= {
        "num_epochs": num_epochs,
        "batch_size": batch_size,
        "loss": {"energy": loss_of_energy_and_forces()},
        "num_workers": 0,
    }
    torch.manual_seed(0)
    model = architecture.__model__(hypers["model"], info)
    trainer = architecture.__trainer__(hypers["training"])
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        trainer.train(
            model=model,
            dtype=torch.float32,
            devices=[torch.device("cpu")],
            train_datasets=[dataset],
            val_datasets=[torch.utils.data.Subset(dataset, range(1))],
            checkpoint_dir=folder,
        )
        return time.perf_counter() - start


def energy_target(data: str) -> dict[str, Any]:
    source = {"read_from": data, "reader": "ase"}
    return {
        **source,
        "quantity": "energy",
        "key": "energy",
        "unit": "eV",
        "type": "scalar",
        "sample_kind": "system",
        "num_subtargets": 1,
        "description": "",
        "forces": {**source, "key": "forces"},
        "stress": False,
        "virial": False,
    }


def loss_of_energy_and_forces() -> dict[str, Any]:
    energy = init_with_defaults(LossSpecification)
    return {**energy, "gradients": {"positions": init_with_defaults(LossSpecification)}}


if __name__ == "__main__":
    main()
