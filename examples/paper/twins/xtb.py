"""Energies and forces of GFN2-xTB, for the generators of the twins.

Lengths are in Angstrom, energies in eV, forces in eV/Angstrom.
"""

import ase
import numpy as np
from tblite.ase import TBLite


def label(
    atoms: ase.Atoms, charge: int = 0, unpaired: int = 0, method: str = "GFN2-xTB"
) -> ase.Atoms:
    """A copy that carries ``energy`` and ``forces``.

    :param charge: total charge, in elementary charges
    :param unpaired: number of unpaired electrons
    """
    frame = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    frame.info.update(atoms.info)
    frame.calc = TBLite(
        method=method, charge=charge, multiplicity=unpaired + 1, verbosity=0
    )
    energy, forces = frame.get_potential_energy(), frame.get_forces()
    frame.calc = None
    frame.info["energy"], frame.arrays["forces"] = energy, forces
    return frame


def check_forces(frame: ase.Atoms, step: float = 1e-3, **method: int | str) -> float:
    """Largest error of the forces on three atoms against central differences.

    :param method: the arguments of :func:`label`
    """
    errors = []
    for atom in np.linspace(0, len(frame) - 1, 3).astype(int):
        for axis in range(3):
            energies = []
            for sign in (1, -1):
                moved = frame.copy()
                moved.positions[atom, axis] += sign * step
                energies.append(label(moved, **method).info["energy"])
            force = -(energies[0] - energies[1]) / (2 * step)
            errors.append(abs(force - frame.arrays["forces"][atom, axis]))
    return max(errors)
