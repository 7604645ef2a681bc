"""Generate a data set of crystalline sodium chloride, labelled by a known potential.

Random strains and displacements of the rock-salt structure: cubes of 8 ions, and rods of
16 and 32 ions along one axis, in which waves of ions with long wavelengths fit. The script
writes ``crystals_train.xyz``, ``crystals_val.xyz`` and ``crystals_test.xyz``, with energies
in eV, forces in eV/Angstrom and stresses in eV/Angstrom^3, in half a minute on one core.

    OMP_NUM_THREADS=1 python make_crystals.py
"""

from pathlib import Path

import ase.io
import numpy as np
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from tosi_fumi import TosiFumi


LATTICE_CONSTANT = 5.6  # Angstrom, near the minimum
REPEATS = [(1, 1, 1), (1, 1, 1), (2, 1, 1), (4, 1, 1)]
SPLITS = {"train": 240, "val": 40, "test": 40}
LINEAR_STRAIN = 0.06  # largest change of a lattice vector
SHEAR = 0.03
RATTLE = 0.25  # Angstrom, largest standard deviation of the displacements


def frame(generator: np.random.Generator) -> ase.Atoms:
    """One strained and rattled crystal."""
    repeats = REPEATS[generator.integers(len(REPEATS))]
    atoms = bulk("NaCl", "rocksalt", a=LATTICE_CONSTANT, cubic=True) * repeats
    volume = generator.uniform(-LINEAR_STRAIN, LINEAR_STRAIN)
    strain = np.eye(3) * (1 + volume)
    strain += SHEAR * generator.uniform(-1, 1, (3, 3)) * generator.uniform(0, 1)
    atoms.set_cell(atoms.cell @ strain, scale_atoms=True)
    size = RATTLE * generator.uniform(0, 1) ** 2  # many of them close to the minimum
    atoms.positions += size * generator.standard_normal(atoms.positions.shape)
    return atoms


def labelled(atoms: ase.Atoms) -> ase.Atoms:
    """The same frame with energy, forces and stress."""
    atoms.calc = TosiFumi()
    results = {
        "energy": atoms.get_potential_energy(),
        "forces": atoms.get_forces(),
        "stress": atoms.get_stress(voigt=False),
    }
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def main() -> None:
    generator = np.random.default_rng(0)
    for split, number in SPLITS.items():
        frames = [labelled(frame(generator)) for _ in range(number)]
        path = Path(__file__).with_name(f"crystals_{split}.xyz")
        ase.io.write(path, frames, columns=["symbols", "positions", "forces"])
        energies = [atoms.get_potential_energy() / len(atoms) for atoms in frames]
        print(f"{path.name}: {number} frames, {np.ptp(energies):.3f} eV/ion in range")


if __name__ == "__main__":
    main()
