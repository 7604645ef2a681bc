"""Born effective charges of water and its dimer, at the GFN2-xTB level.

The derivative of the dipole moment by the position of each atom, from central
differences: nine numbers per atom, with the component of the dipole moment as the slower
index. Lengths are in Angstrom, charges in units of the elementary charge.

Requirements: ``pip install ase tblite``. Usage::

    OMP_NUM_THREADS=1 python make_born_charges.py

"""

from collections.abc import Iterator
from pathlib import Path

import ase
import numpy as np
from tblite.ase import TBLite


FILE = Path(__file__).parent / "born_charges.xyz"
NUM_FRAMES = 16
STEP = 0.005  # Angstrom, of finite differences


def attach_xtb(atoms: ase.Atoms) -> ase.Atoms:
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.01, verbosity=0)
    return atoms


# --- Born effective charges -------------------------------------------------------------


def water(rng: np.random.Generator) -> ase.Atoms:
    """A distorted molecule in a random orientation, its oxygen in the origin."""
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.76, -0.59], [0.0, -0.76, -0.59]])
    positions = positions + 0.04 * rng.standard_normal((3, 3))
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    return ase.Atoms("OH2", (positions - positions[0]) @ rotation.T)


def cluster(rng: np.random.Generator, num_molecules: int) -> ase.Atoms:
    """Molecules in a row, 2.9 Angstrom apart."""
    atoms = ase.Atoms()
    for i in range(num_molecules):
        molecule = water(rng)
        molecule.positions += [2.9 * i, 0.0, 0.0]
        atoms += molecule
    atoms.positions = np.round(atoms.positions, 6)
    return atoms


def born_charges(atoms: ase.Atoms) -> np.ndarray:
    """``d dipole_a / d position_b`` of each atom, ``[N, 3, 3]``."""
    charges = np.zeros((len(atoms), 3, 3))
    for atom, axis in np.ndindex(len(atoms), 3):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * STEP
            dipole = attach_xtb(moved).get_dipole_moment()
            charges[atom, :, axis] += sign * dipole / (2 * STEP)
    # Of a neutral cluster, up to the error of finite differences
    assert np.abs(charges.sum(0)).max() < 1e-3
    return charges - charges.mean(0)


def born_charge_frames(rng: np.random.Generator, count: int) -> Iterator[str]:
    for i in range(count):
        atoms = cluster(rng, 1 + i % 2)
        header = 'Properties=species:S:1:pos:R:3:born:R:9 pbc="F F F"'
        rows = np.hstack([atoms.positions, born_charges(atoms).reshape(-1, 9)])
        yield formatted(atoms, header, rows)


# --- output -----------------------------------------------------------------------------


def formatted(atoms: ase.Atoms, header: str, rows: np.ndarray) -> str:
    """One frame in the extended XYZ format."""
    lines = [
        f"{symbol:2s}" + "".join(f" {value:10.6f}" for value in row)
        for symbol, row in zip(atoms.symbols, rows, strict=True)
    ]
    return "\n".join([str(len(atoms)), header, *lines]) + "\n"


def main() -> None:
    rng = np.random.default_rng(2026)
    FILE.write_text("".join(born_charge_frames(rng, NUM_FRAMES)))


if __name__ == "__main__":
    main()
