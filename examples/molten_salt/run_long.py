"""Long simulations of sodium chloride: how well a trained model conserves energy.

    cd examples/molten_salt
    mtt train options.yaml
    python run_long.py model.ckpt

1. NVE of the melt, 64 ions in a periodic box, in float64 and float32: drift of the total
   energy.
2. NPT of the crystal: jumps of the conserved quantity. The number of k-vectors and pairs
   changes with the volume, which must not be seen in the energy.
3. A simulation that is interrupted, written to a file and continued: does it end as the
   one that goes through?

The same weights are used in both precisions: the script exports the checkpoint twice.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ase
import ase.io
import numpy as np
import torch
from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet
from metatrain.utils.io import load_model

from metatrain_lorem.engines.ase import WrappingCalculator


TIMESTEP = 2 * units.fs
STEPS_PER_PS = round(1000 * units.fs / TIMESTEP)
FINE_TIMESTEP = 1 * units.fs  # jumps would drown in the errors of longer steps
MELT = {"lattice_constant": 5.9, "temperature": 1500.0}  # Angstrom, K
CRYSTAL = {"lattice_constant": 5.2, "temperature": 300.0}


def export(checkpoint: str, dtype: torch.dtype, folder: Path) -> Path:
    """The same weights in another precision."""
    path = folder / f"{str(dtype).removeprefix('torch.')}.pt"
    load_model(checkpoint).to(dtype).export().save(str(path))
    return path


def crystal(lattice_constant: float) -> ase.Atoms:
    atoms = bulk("NaCl", "rocksalt", a=lattice_constant, cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=0)
    return atoms


def equilibrated(atoms: ase.Atoms, temperature: float, duration: float) -> ase.Atoms:
    """After some ps of a Langevin thermostat.

    :param duration: in ps
    """
    generator = np.random.RandomState(0)
    thermalize_momenta(atoms, temperature, rng=generator)
    Langevin(
        atoms,
        timestep=TIMESTEP,
        temperature_K=temperature,
        friction=0.01 / units.fs,
        fixcm=False,
        rng=generator,
    ).run(round(duration * STEPS_PER_PS))
    Stationary(atoms)
    return atoms


def record(
    dynamics: MolecularDynamics, num_steps: int, quantity: Callable[[], float]
) -> np.ndarray:
    """A quantity at each step, starting before the first one."""
    return np.array([quantity() for _ in dynamics.irun(num_steps)])


def drift(energies: np.ndarray, num_atoms: int) -> float:
    """Slope of energies over time, in meV per atom and ps."""
    times = np.arange(len(energies)) / STEPS_PER_PS
    return 1000 * np.polyfit(times, energies, deg=1)[0] / num_atoms


def run_nve(start: ase.Atoms, model: Path, duration: float) -> None:
    atoms = start.copy()
    atoms.calc = WrappingCalculator(model, do_gradients_with_energy=False)
    begin = time.perf_counter()
    dynamics = VelocityVerlet(atoms, timestep=TIMESTEP)
    num_steps = round(duration * STEPS_PER_PS)
    energies = record(dynamics, num_steps, atoms.get_total_energy)
    seconds = time.perf_counter() - begin
    fluctuation = 1000 * energies.std() / len(atoms)
    print(
        f"NVE, {model.stem}: {duration} ps, drift {drift(energies, len(atoms)):.5f} "
        f"meV/atom/ps, standard deviation {fluctuation:.5f} meV/atom, "
        f"{1000 * seconds / num_steps:.0f} ms/step",
        flush=True,
    )


def run_npt(model: Path, duration: float) -> None:
    atoms = crystal(CRYSTAL["lattice_constant"])
    atoms.calc = WrappingCalculator(model, do_gradients_with_energy=False)
    thermalize_momenta(atoms, CRYSTAL["temperature"], rng=np.random.RandomState(0))
    Stationary(atoms)
    dynamics = IsotropicMTKNPT(
        atoms,
        timestep=FINE_TIMESTEP,
        temperature_K=CRYSTAL["temperature"],
        pressure_au=1 * units.bar,
        tdamp=100 * units.fs,
        pdamp=1000 * units.fs,
    )
    volumes: list[float] = []

    def conserved() -> float:
        volumes.append(atoms.get_volume())
        return dynamics.get_conserved_energy()

    num_steps = round(duration * 1000 * units.fs / FINE_TIMESTEP)
    energies = 1000 * record(dynamics, num_steps, conserved) / len(atoms)
    jumps = np.abs(np.diff(energies))
    print(
        f"NPT, {model.stem}: {duration} ps, volume {min(volumes):.0f} to "
        f"{max(volumes):.0f} A^3, conserved quantity: standard deviation "
        f"{energies.std():.5f} meV/atom, change per step {np.median(jumps):.1e} (median) "
        f"to {jumps.max():.1e} (largest) meV/atom",
        flush=True,
    )


def run_restart(start: ase.Atoms, model: Path, num_steps: int, folder: Path) -> None:
    """A new calculator has another neighbor list: pairs come in another order."""
    ends = []
    for parts in ([2 * num_steps], [num_steps, num_steps]):
        atoms = start.copy()
        for part in parts:
            atoms.calc = WrappingCalculator(model, do_gradients_with_energy=False)
            VelocityVerlet(atoms, timestep=TIMESTEP).run(part)
            ase.io.write(folder / "restart.traj", atoms)
            atoms = ase.io.read(folder / "restart.traj")
        ends.append(atoms)
    difference = np.abs(ends[0].positions - ends[1].positions).max()
    print(
        f"restart, {model.stem}: after {2 * num_steps} steps, positions differ by at most "
        f"{difference:.1e} A",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", help="model.ckpt, from `mtt train options.yaml`")
    parser.add_argument("--duration", type=float, default=20.0, help="of NVE, in ps")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = [
            export(arguments.checkpoint, dtype, folder)
            for dtype in (torch.float64, torch.float32)
        ]
        start = crystal(MELT["lattice_constant"])
        start.calc = WrappingCalculator(models[0], do_gradients_with_energy=False)
        equilibrated(start, 2 * MELT["temperature"], 0.05 * arguments.duration)
        equilibrated(start, MELT["temperature"], 0.05 * arguments.duration)
        for model in models:
            run_restart(start, model, 50, folder)
            run_npt(model, 0.1 * arguments.duration)
            run_nve(start, model, arguments.duration)


if __name__ == "__main__":
    main()
