"""Molecules, each geometry neutral and ionized: energies and forces of GFN2-xTB.

    python make_ions.py

writes `ions_train.xyz`, `ions_val.xyz` and `ions_test.xyz`. Each frame occurs twice, one
after the other: neutral (`charge=0 spin_multiplicity=1`) and as a radical cation
(`charge=1 spin_multiplicity=2`). Requires tblite.
"""

from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.build import molecule
from tblite.ase import TBLite


NAMES = ["H2O", "NH3", "CH3OH", "C2H4", "H2CO"]
NUMBERS = {"train": 12, "val": 3, "test": 5}  # geometries of each molecule
STATES = [(0, 1), (1, 2)]  # charge, spin multiplicity
DISPLACEMENT = 0.08  # Angstrom, of each coordinate
FOLDER = Path(__file__).parent


def labelled(atoms: ase.Atoms, charge: int, multiplicity: int) -> ase.Atoms:
    """A copy with energy and forces; the info has charge and spin multiplicity."""
    result = atoms.copy()
    result.calc = TBLite(
        method="GFN2-xTB", charge=charge, multiplicity=multiplicity, verbosity=0
    )
    energy, forces = result.get_potential_energy(), result.get_forces()
    result.calc = None
    result.info = {"energy": energy, "charge": charge, "spin_multiplicity": multiplicity}
    result.arrays["forces"] = forces
    return result


def main() -> None:
    random = np.random.RandomState(0)
    for part, number in NUMBERS.items():
        frames = []
        for _ in range(number):
            for name in NAMES:
                atoms = molecule(name)
                atoms.positions += DISPLACEMENT * random.randn(len(atoms), 3)
                frames += [labelled(atoms, *state) for state in STATES]
        ase.io.write(FOLDER / f"ions_{part}.xyz", frames, write_results=False)
        print(f"{part}: {len(frames)} frames")


if __name__ == "__main__":
    main()
