"""What the scripts of this folder share: systems, the energy of ASE as a reference, and
the check at the end.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import ase
import ase.io
import numpy as np
from metatomic.torch import load_atomistic_model
from metatomic_ase import MetatomicCalculator


DATA = Path(__file__).parents[1] / "data" / "dimers_test.xyz"
# eV. Engines convert units, and pass atoms in another order: what remains is rounding.
TOLERANCES = {"float32": 1e-5, "float64": 1e-8}


class Comparison(NamedTuple):
    """Energies of the same frame in eV: from an engine and from ASE."""

    what: str
    energy: float
    reference: float
    tolerance: float

    @property
    def difference(self) -> float:
        return abs(self.energy - self.reference)


def dimer(pair: str = "methylammonium-dinitramide") -> ase.Atoms:
    """The first dimer of two molecules in the test set of the quickstart."""
    return next(a for a in ase.io.iread(DATA) if a.info["pair"] == pair)


def ion_box(length: float = 8.0) -> ase.Atoms:
    """A periodic system of one cation and one anion, like caesium chloride.

    :param length: edge of the cubic box in Angstrom
    """
    both = dimer()
    start = both.info["fragment_b_start"]
    box = ase.Atoms(cell=3 * [length], pbc=True)
    for ion, center in ((both[:start], 0.25), (both[start:], 0.75)):
        ion = ase.Atoms(ion.numbers, ion.positions)
        ion.translate(3 * [center * length] - ion.positions.mean(0))
        box += ion
    return box


def calculator(model: str) -> MetatomicCalculator:
    # Gradients of each energy would include the stress, which molecules do not have
    return MetatomicCalculator(model, do_gradients_with_energy=False)


def compare(what: str, energy: float, atoms: ase.Atoms, model: str) -> Comparison:
    """Energy of an engine next to the one of ASE, from a calculator of its own."""
    frame = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    frame.calc = calculator(model)
    dtype = load_atomistic_model(model).capabilities().dtype
    reference = frame.get_potential_energy()
    return Comparison(what, float(energy), float(reference), TOLERANCES[dtype])


def finite(values: np.ndarray) -> np.ndarray:
    """The same values.

    :raises ValueError: if one of them is infinite or not a number
    """
    if not np.isfinite(values).all():
        raise ValueError("the simulation has left the range of finite numbers")
    return values


def main(
    run: Callable[[str, int, Path], list[Comparison]], description: str, steps: int
) -> None:
    """Command line of a script: run it, print the energies, fail if they differ.

    :param run: function of the model's path, the number of steps and a folder to write to
    :param steps: number of MD steps, unless the user wants another one
    """
    parser = argparse.ArgumentParser(description=description.split("\n\n")[0])
    parser.add_argument("model", help="exported model, from `mtt train` or `mtt export`")
    parser.add_argument("--steps", type=int, default=steps, help="steps of each simulation")
    parser.add_argument("--folder", help="where to write; a temporary one by default")
    arguments = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.folder or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        model = str(Path(arguments.model).resolve())
        comparisons = run(model, arguments.steps, folder)
    for comparison in comparisons:
        print(
            f"{comparison.what}: {comparison.energy:.9f} eV, ASE "
            f"{comparison.reference:.9f} eV, difference {comparison.difference:.1e} eV"
        )
    print(f"{time.perf_counter() - start:.0f} s")
    if any(not c.difference <= c.tolerance for c in comparisons):
        sys.exit("energies differ by more than the tolerance")
