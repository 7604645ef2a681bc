"""Molecular dynamics with systems that grow and shrink, in one process.

Time and memory of a step depend on the system, not on the steps before it.
"""

import resource
import time

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet
from helpers.lorem_models import fit, make_model
from metatomic.torch import AtomisticModel

from metatrain_lorem.engines.ase import WrappingCalculator


STEPS = 20  # of each system
# Crystals, slabs and clusters, by the number of cells along each axis
SIZES = [(1, 1, 1), (2, 1, 1), (2, 2, 1), (1, 2, 1), (3, 1, 1)]
PERIODIC = [True, [True, True, False], False]


@pytest.fixture(scope="module")
def model() -> AtomisticModel:
    baseline = {"energy": dict.fromkeys([1, 8, 9, 11, 17], 0.0)}
    model = make_model(max_degree=2, num_features=8, num_spherical_features=2)
    return fit(
        model, atomic_baseline=baseline, fixed_scaling_weights={"energy": 0.1}
    ).export()


def systems() -> list[ase.Atoms]:
    frames = []
    for size in SIZES:
        for pbc in PERIODIC:
            atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True) * size
            atoms.pbc = pbc
            atoms.rattle(0.05, seed=0)
            frames.append(atoms)
    return frames


def memory() -> float:
    """MiB of this process, now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def simulate(model: AtomisticModel, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Times of each system in each round, and the memory after each round."""
    calculator = WrappingCalculator(model)
    times, memories = [], []
    for _ in range(rounds):
        of_round = []
        for atoms in systems():
            atoms.calc = calculator
            dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
            start = time.process_time()
            dynamics.run(STEPS)
            of_round.append(time.process_time() - start)
            assert np.isfinite(atoms.get_potential_energy())
        times.append(of_round)
        memories.append(memory())
    return np.array(times), np.array(memories)


@pytest.mark.slow
@pytest.mark.soak
def test_time_and_memory_stay(model, capsys):
    """10 000 steps are 34 rounds of 15 systems and 20 steps."""
    rounds = 34
    simulate(model, 1)  # TorchScript compiles, caches fill
    times, memories = simulate(model, rounds)
    quarter = max(rounds // 4, 1)
    growth = float(memories[-quarter:].mean() - memories[:quarter].mean())
    ratios = np.median(times[-quarter:], axis=0) / np.median(times[:quarter], axis=0)
    steps = STEPS * len(SIZES) * len(PERIODIC)  # of a round
    early = 1000 * times[:quarter].mean() / STEPS
    late = 1000 * times[-quarter:].mean() / STEPS
    with capsys.disabled():
        print(
            f"\nmemory after {4 * steps} and {(rounds + 1) * steps} steps: "
            f"{memories[2]:.0f} and {memories[-1]:.0f} MiB; first and last quarter: "
            f"{early:.1f} and {late:.1f} ms per step, median ratio {np.median(ratios):.2f}"
        )
    assert growth < 20.0
    assert np.median(ratios) < 1.3
