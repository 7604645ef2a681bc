"""Methane with the model of the quickstart: a minimum at a symmetric site.

    mtt train options/quickstart.yaml
    python examples/methane.py model.pt

Relaxes the molecule, moves its carbon away from the center, computes the frequencies of its
vibrations, and stretches one of its bonds. GFN2-xTB, the method behind the data, stands
beside it where `tblite` is installed.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import ase
import numpy as np
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from metatrain_lorem.engines.ase import WrappingCalculator


DISPLACEMENTS = (0.005, 0.01, 0.02)  # Angstrom, of the carbon
DIRECTION = np.array([0.48, 0.6, 0.64])  # not along a bond, nor between two


def relaxed(calculator: Calculator) -> tuple[ase.Atoms, int]:
    """The minimum, and the number of steps to 1e-3 eV/A (100 at the most)."""
    atoms = molecule("CH4")
    atoms.calc = calculator
    optimizer = BFGS(atoms, logfile=None)
    optimizer.run(fmax=1e-3, steps=100)
    return atoms, optimizer.get_number_of_steps()


def carbon_scan(atoms: ase.Atoms) -> list[float]:
    """Energies in meV of a carbon that leaves the center: a parabola."""
    energies = []
    for displacement in (0.0, *DISPLACEMENTS):
        moved = atoms.copy()
        moved.calc = atoms.calc
        moved.positions[0] += displacement * DIRECTION
        energies.append(1000 * moved.get_potential_energy())
    return [energy - energies[0] for energy in energies[1:]]


def frequencies(atoms: ase.Atoms) -> np.ndarray:
    """Of the nine vibrations, in 1/cm: three, two, one and three of a kind."""
    with TemporaryDirectory() as folder:
        vibrations = Vibrations(atoms, name=str(Path(folder) / "vib"))
        vibrations.run()
        return np.sort(vibrations.get_frequencies().real)[-9:]


def minima_of_bond(atoms: ase.Atoms) -> int:
    """Minima of the energy along a C-H bond from half of its length to twice of it."""
    energies = []
    for factor in np.linspace(0.5, 2.0, 151):
        stretched = atoms.copy()
        stretched.calc = atoms.calc
        bond = atoms.positions[1] - atoms.positions[0]
        stretched.positions[1] = atoms.positions[0] + factor * bond
        energies.append(stretched.get_potential_energy())
    slopes = np.diff(energies)
    return int(((slopes[:-1] < 0) & (slopes[1:] >= 0)).sum())


def report(name: str, calculator: Calculator) -> None:
    atoms, steps = relaxed(calculator)
    force = np.abs(atoms.get_forces()).max()
    scan = ", ".join(f"{energy:.2f}" for energy in carbon_scan(atoms))
    modes = " ".join(f"{frequency:.0f}" for frequency in frequencies(atoms))
    print(f"{name}:")
    print(f"  relaxation        {steps} steps to {force:.1e} eV/A")
    print(f"  carbon displaced  {scan} meV at {DISPLACEMENTS} A")
    print(f"  vibrations        {modes} 1/cm")
    print(f"  stretched bond    {minima_of_bond(atoms)} minimum or minima")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    model = parser.parse_args().model
    report("LOREM", WrappingCalculator(model, do_gradients_with_energy=False))
    if find_spec("tblite"):
        from tblite.ase import TBLite

        report("GFN2-xTB", TBLite(method="GFN2-xTB", verbosity=0))


if __name__ == "__main__":
    main()
