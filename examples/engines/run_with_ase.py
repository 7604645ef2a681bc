"""ASE: relaxation, NVE, NVT, NPT and vibrations from finite displacements.

python examples/engines/run_with_ase.py model.pt
"""

from pathlib import Path

import ase
import numpy as np
from ase import units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from ase.optimize import FIRE
from ase.vibrations import Vibrations
from comparison import Comparison, calculator, compare, dimer, finite, ion_box, main


TIMESTEP = 0.5 * units.fs
TEMPERATURE = 300.0  # K


def relax(atoms: ase.Atoms, num_steps: int) -> None:
    optimizer = FIRE(atoms, logfile=None)
    optimizer.run(fmax=0.01, steps=num_steps)
    largest = np.abs(atoms.get_forces()).max()
    print(f"relaxation: {optimizer.nsteps} steps, largest force {largest:.3f} eV/A")


def simulate(name: str, dynamics: MolecularDynamics, num_steps: int) -> None:
    """MD from new momenta, at 300 K."""
    atoms = dynamics.atoms
    thermalize_momenta(atoms, TEMPERATURE, rng=np.random.RandomState(0))
    totals, volumes = [], []
    for _ in dynamics.irun(num_steps):
        totals.append(atoms.get_total_energy())
        volumes.append(atoms.get_volume() if atoms.pbc.all() else 0.0)
    spread = 1000 * np.ptp(finite(np.array(totals))) / len(atoms)
    print(
        f"{name}: range of the total energy {spread:.3f} meV/atom, "
        f"last temperature {atoms.get_temperature():.0f} K, volume {volumes[-1]:.1f} A^3"
    )


def vibrations(atoms: ase.Atoms, folder: Path) -> None:
    """Frequencies of a relaxed dimer: imaginary if it is not at a minimum."""
    displaced = Vibrations(atoms, name=str(folder / "vibrations"))
    displaced.run()
    frequencies = displaced.get_frequencies()
    highest = finite(np.sort(frequencies.real))[-3:]
    print("highest frequencies:", *(f"{value:.0f}" for value in highest), "1/cm")


def open_system(calculator: Calculator, num_steps: int, folder: Path) -> ase.Atoms:
    atoms = dimer()
    atoms.calc = calculator
    relax(atoms, num_steps)
    vibrations(atoms, folder)
    simulate("NVE", VelocityVerlet(atoms, timestep=TIMESTEP), num_steps)
    return atoms


def periodic_system(calculator: Calculator, num_steps: int) -> ase.Atoms:
    atoms = ion_box()
    atoms.calc = calculator
    relax(atoms, num_steps)
    thermostat = Langevin(
        atoms,
        timestep=TIMESTEP,
        temperature_K=TEMPERATURE,
        friction=0.01 / units.fs,
        fixcm=False,
        rng=np.random.RandomState(1),
    )
    simulate("NVT", thermostat, num_steps)
    barostat = IsotropicMTKNPT(
        atoms,
        timestep=TIMESTEP,
        temperature_K=TEMPERATURE,
        pressure_au=1 * units.bar,
        tdamp=100 * TIMESTEP,
        pdamp=1000 * TIMESTEP,
    )
    simulate("NPT", barostat, num_steps)
    return atoms


def run(model: str, num_steps: int, folder: Path) -> list[Comparison]:
    """All of it; the reference is a calculator that has seen nothing else before.

    One that is reused keeps its neighbor list for a while: this must not matter.
    """
    used = calculator(model)
    systems = [open_system(used, num_steps, folder), periodic_system(used, num_steps)]
    names = ["ASE, molecules", "ASE, periodic"]
    return [
        compare(name, atoms.get_potential_energy(), atoms, model)
        for name, atoms in zip(names, systems, strict=True)
    ]


if __name__ == "__main__":
    main(run, __doc__, steps=200)
