"""Molecular dynamics through metatomic's ASE calculator: LOREM against PET.

    python benchmarks/molecular_dynamics.py [--sizes 64 512 4096]

Rock salt with a spacing of 2.8 Angstrom, models with default sizes and random weights,
exported as for users. The time of the neighbor list is part of a step. `first` is the time
of the first three calls, when TorchScript specializes; `other sizes` is that of the slowest
call when the number of atoms changes in each.
"""

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path

import torch
from ase import Atoms, units
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from measure import median_time, write_results
from metatomic_ase import MetatomicCalculator
from metatrain.utils.architectures import get_default_hypers, import_architecture
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info
from structures import crystal
from torch.profiler import ProfilerActivity, profile


MODELS = {
    "LOREM": ("metatrain_lorem", True),
    "LOREM, no long range": ("metatrain_lorem", False),
    "PET, long range": ("pet", True),
    "PET": ("pet", False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 512, 4096])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--slowest", type=float, default=60.0, help="seconds per step")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (architecture, long_range) in MODELS.items():
            path = Path(folder) / f"{len(rows)}.pt"
            export_model(architecture, long_range, path)
            for size in arguments.sizes:
                atoms = crystal(size, "NaCl cubic", 2.8)
                row = {"model": name, "atoms": size}
                row |= measure_steps(atoms, path, arguments)
                rows.append(row)
                print(json.dumps(row), flush=True)
                write_results("molecular_dynamics_cpu", "cpu", rows)
                if row["step ms"] > 1e3 * arguments.slowest / 8:
                    break  # the next size is eight times as large


def export_model(architecture: str, long_range: bool, path: Path) -> None:
    hypers = get_default_hypers(architecture)["model"]
    hypers["long_range"]["enable"] = long_range
    target = get_energy_target_info(
        "energy",
        {
            "quantity": "energy",
            "unit": "eV",
            "type": "scalar",
            "sample_kind": "system",
            "num_subtargets": 1,
            "description": "",
        },
    )
    info = DatasetInfo("Angstrom", [11, 17], {"energy": target})
    torch.manual_seed(0)
    import_architecture(architecture).__model__(hypers, info).export().save(str(path))


def measure_steps(
    atoms: Atoms, path: Path, arguments: argparse.Namespace
) -> dict[str, float]:
    """Milliseconds of a step and its parts."""
    atoms.calc = MetatomicCalculator(str(path), do_gradients_with_energy=False)
    thermalize_momenta(atoms, temperature_K=300)
    dynamics = VelocityVerlet(atoms, timestep=units.fs)
    start = time.perf_counter()
    dynamics.run(2)
    first = time.perf_counter() - start
    repeats = 3 if first > 10 else arguments.steps
    step = median_time(lambda: dynamics.run(1), repeats=repeats, warm_up=1)

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        dynamics.run(1)
    spans = {e.key: e.cpu_time_total / 1e6 for e in profiler.key_averages()}
    neighbors = spans["MetatomicCalculator::compute_neighbors"]
    backward = spans["MetatomicCalculator::run_backward"]
    forward = spans["Model::forward"]
    row = {"step ms": step, "neighbors ms": neighbors, "forward ms": forward}
    row |= {"backward ms": backward, "first ms": first}
    if first < 10:
        row["other sizes ms"] = slowest_of_other_sizes(atoms)
    return {key: 1e3 * value for key, value in row.items()}


def slowest_of_other_sizes(atoms: Atoms) -> float:
    """Longest call for structures with one, two, ... atoms less."""
    times = []
    for number in range(1, 6):
        smaller = atoms[:-number]
        smaller.calc = atoms.calc
        start = time.perf_counter()
        smaller.get_forces()
        times.append(time.perf_counter() - start)
    return max(times)


if __name__ == "__main__":
    main()
