"""Structures of the benchmarks: ASE atoms, slightly rattled."""

import numpy as np
from ase import Atoms
from ase.build import fcc111, molecule


# Unit cells of torch-pme's tests, in units of 1 Angstrom: lattice, fractional positions,
# species. Wigner crystals have ions of one kind, here sodium.
_FCC = 0.5 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
_U, _C = 3 / 8, (8 / 3) ** 0.5
_HEXAGONAL = np.array([[0.5, -0.5 * 3**0.5, 0], [0.5, 0.5 * 3**0.5, 0], [0, 0, _C]])
_CUBIC_SALT = [[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
_CUBIC_SALT += [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]
UNIT_CELLS = {
    "CsCl": (np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], "CsCl"),
    "NaCl primitive": (2 * _FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], "NaCl"),
    "NaCl cubic": (2 * np.eye(3), 0.5 * np.array(_CUBIC_SALT), "Na4Cl4"),
    "zincblende": (2 * _FCC, [[0, 0, 0], [0.25, 0.25, 0.25]], "ZnS"),
    "wurtzite": (
        _HEXAGONAL,
        [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5]]
        + [[1 / 3, 2 / 3, _U], [2 / 3, 1 / 3, 0.5 + _U]],
        "Zn2S2",
    ),
    "cu2o": (
        np.eye(3),
        [[0.25, 0.25, 0.25], [0.75, 0.75, 0.25], [0.75, 0.25, 0.75], [0.25, 0.75, 0.75]]
        + [[0, 0, 0], [0.5, 0.5, 0.5]],
        "Cu4O2",
    ),
    "wigner bcc": (
        0.5 * np.array([[-1.0, 1, 1], [1, -1, 1], [1, 1, -1]]),
        [[0, 0, 0]],
        "Na",
    ),
    "wigner fcc": (_FCC, [[0, 0, 0]], "Na"),
}

# Rows of the runtime table of arXiv:2507.19382: milliseconds on one NVIDIA H100 for energy
# and forces, without and with long range.
PAPER = {
    (16, "CsCl"): (1.4, 1.7),
    (16, "NaCl primitive"): (1.0, 1.3),
    (16, "zincblende"): (0.9, 1.2),
    (32, "wurtzite"): (3.9, 4.3),
    (48, "cu2o"): (12.1, 12.4),
    (64, "NaCl cubic"): (2.7, 3.0),
    (64, "wigner bcc"): (4.2, 4.6),
    (64, "wigner fcc"): (8.3, 8.8),
    (128, "CsCl"): (10.1, 10.4),
    (128, "NaCl primitive"): (4.8, 5.1),
    (128, "zincblende"): (5.2, 5.6),
    (256, "wurtzite"): (22.4, 22.9),
    (384, "cu2o"): (103.8, 104.4),
    (512, "NaCl cubic"): (18.2, 18.8),
    (512, "wigner bcc"): (39.7, 40.1),
    (512, "wigner fcc"): (89.8, 90.6),
    (1024, "CsCl"): (71.1, 72.1),
    (1024, "NaCl primitive"): (36.5, 38.1),
    (1024, "zincblende"): (31.5, 33.0),
    (4096, "NaCl cubic"): (161.0, 170.6),
}


def crystal(num_atoms: int, name: str, scale: float = 1.0) -> Atoms:
    """Cubic supercell of a unit cell, with nearest neighbors about ``scale`` apart."""
    cell, positions, symbols = UNIT_CELLS[name]
    unit = Atoms(symbols, cell=scale * cell, scaled_positions=positions, pbc=True)
    repeats = round((num_atoms / len(unit)) ** (1 / 3))
    atoms = unit.repeat(repeats)
    if len(atoms) != num_atoms:
        raise ValueError(f"{name} has no cubic supercell of {num_atoms} atoms")
    atoms.rattle(0.02 * scale, seed=0)
    return atoms


def water_box() -> Atoms:
    """64 water molecules in a cube of 12.42 Angstrom."""
    random = np.random.RandomState(0)
    atoms = Atoms(cell=12.42 * np.eye(3), pbc=True)
    for index in np.ndindex(4, 4, 4):
        water = molecule("H2O")
        water.rotate(360 * random.rand(), random.randn(3))
        water.translate((np.array(index) + 0.5) * 12.42 / 4)
        atoms += water
    return atoms


def aluminium_slab() -> Atoms:
    """Six layers of Al(111), 216 atoms, periodic in the plane."""
    atoms = fcc111("Al", (6, 6, 6), vacuum=8.0)
    atoms.pbc = [True, True, False]
    atoms.rattle(0.05, seed=0)
    return atoms


def realistic() -> dict[str, Atoms]:
    """What users simulate: interatomic distances of real matter."""
    organic = molecule("C60")
    organic.symbols[::3] = "N"
    organic.rattle(0.05, seed=0)
    return {
        "rock salt, 2.8 A": crystal(512, "NaCl cubic", 2.8),
        "water": water_box(),
        "molecule": organic,
        "Al slab": aluminium_slab(),
    }
