"""Run an exported model in ASE: relaxation, molecular dynamics at constant energy (NVE)
and at constant temperature (NVT).

    python examples/run_ase.py model.pt

The system is a dimer from the test set of the quickstart. The script prints what it
finds, and plots energy and temperature over time. How far the total energy drifts in
NVE tells whether the forces are the derivatives of the energy. Models in float64 (trained
with `base_precision: 64`) conserve it best: those in float32 add rounding errors.

Units are those of ASE, eV and Angstrom, unless stated otherwise.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import ase
import ase.io
import matplotlib
import numpy as np
from ase import units
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta
from ase.md.verlet import VelocityVerlet
from ase.optimize import FIRE
from metatomic_ase import MetatomicCalculator


matplotlib.use("Agg")  # no window
import matplotlib.pyplot as plt  # noqa: E402


DATA = Path(__file__).parent / "data" / "dimers_test.xyz"
TIMESTEP = 0.5 * units.fs
TEMPERATURE = 300.0  # K


class Trajectory(NamedTuple):
    """What an MD run leaves, one value per step."""

    times: np.ndarray  # ps
    potential: np.ndarray  # eV
    total: np.ndarray  # eV
    temperatures: np.ndarray  # K


def load_dimer(pair: str) -> ase.Atoms:
    """The closest dimer of two molecules in the test set."""
    frames = [a for a in ase.io.read(DATA, ":") if a.info["pair"] == pair]
    if not frames:
        raise SystemExit(f"no '{pair}' in {DATA}: see the table in its README")
    return min(frames, key=lambda atoms: atoms.info["distance"])


def relax(atoms: ase.Atoms, max_steps: int) -> None:
    start = atoms.get_potential_energy()
    optimizer = FIRE(atoms, logfile=None)
    converged = optimizer.run(fmax=0.01, steps=max_steps)
    largest = np.linalg.norm(atoms.get_forces(), axis=1).max()
    print(
        f"relaxation: {optimizer.nsteps} steps, {start:.4f} -> "
        f"{atoms.get_potential_energy():.4f} eV, largest force {largest:.4f} eV/A"
        f"{'' if converged else ' (not converged)'}"
    )


def run(dynamics: MolecularDynamics, num_steps: int) -> Trajectory:
    rows: list[tuple[float, float, float, float]] = []

    def record() -> None:
        atoms = dynamics.atoms
        potential, kinetic = atoms.get_potential_energy(), atoms.get_kinetic_energy()
        time = dynamics.get_time() / (1000 * units.fs)
        rows.append((time, potential, potential + kinetic, atoms.get_temperature()))

    dynamics.attach(record)
    dynamics.run(num_steps)
    return Trajectory(*np.array(rows).T)


def drift(trajectory: Trajectory, num_atoms: int) -> float:
    """Slope of the total energy over time, in meV per atom and ps."""
    slope = np.polyfit(trajectory.times, trajectory.total, deg=1)[0]
    return 1000 * slope / num_atoms


def plot(nve: Trajectory, nvt: Trajectory, num_atoms: int, path: str) -> None:
    figure, axes = plt.subplots(2, 1, sharex=True, layout="constrained")
    for values, label in ((nve.potential, "potential"), (nve.total, "total")):
        axes[0].plot(nve.times, 1000 * (values - nve.total[0]) / num_atoms, label=label)
    axes[0].set_ylabel("energy (NVE) / meV per atom")
    for trajectory, label in ((nve, "NVE"), (nvt, "NVT")):
        axes[1].plot(trajectory.times, trajectory.temperatures, label=label)
    axes[1].axhline(TEMPERATURE, color="black", linestyle=":")
    axes[1].set_ylabel("temperature / K")
    axes[1].set_xlabel("time / ps")
    for axis in axes:
        axis.legend()
    figure.savefig(path, dpi=150)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", help="exported model, from `mtt train` or `mtt export`")
    parser.add_argument("--short", action="store_true", help="a few steps only")
    parser.add_argument("--pair", default="water-formamide", help="molecules of the dimer")
    parser.add_argument("--plot", default="run_ase.png", help="plot to write")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    atoms = load_dimer(arguments.pair)
    # Without gradients of each energy: they include the stress, which molecules do not have
    atoms.calc = MetatomicCalculator(arguments.model, do_gradients_with_energy=False)
    num_steps = 20 if arguments.short else 2000
    print(f"{arguments.pair}: {len(atoms)} atoms, {num_steps} steps of 0.5 fs")

    relax(atoms, max_steps=5 if arguments.short else 200)
    generator = np.random.RandomState(0)
    thermalize_momenta(atoms, temperature_K=TEMPERATURE, rng=generator)
    Stationary(atoms)
    ZeroRotation(atoms)

    nve = run(VelocityVerlet(atoms, timestep=TIMESTEP), num_steps)
    deviation = 1000 * np.ptp(nve.total) / len(atoms)
    print(
        f"NVE: drift of the total energy {drift(nve, len(atoms)):.4f} meV/atom/ps, "
        f"range {deviation:.4f} meV/atom, mean temperature {nve.temperatures.mean():.0f} K"
    )
    thermostat = Langevin(
        atoms,
        timestep=TIMESTEP,
        temperature_K=TEMPERATURE,
        friction=0.01 / units.fs,
        fixcm=False,
        rng=generator,
    )
    nvt = run(thermostat, num_steps)
    print(f"NVT: mean temperature {nvt.temperatures.mean():.0f} K")
    plot(nve, nvt, len(atoms), arguments.plot)
    print(f"plot in {arguments.plot}")


if __name__ == "__main__":
    main()
