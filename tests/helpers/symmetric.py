"""Structures of high symmetry, where features of atoms vanish, and their symmetries."""

import itertools
import math

import torch
from helpers.systems import Structure, make_structure


def methane(length: float = 1.1) -> Structure:
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double()
    positions = torch.cat([torch.zeros(1, 3).double(), length / math.sqrt(3) * corners])
    return make_structure([6, 1, 1, 1, 1], positions)


def benzene() -> Structure:
    angles = torch.arange(6).double() * math.pi / 3
    ring = torch.stack([angles.cos(), angles.sin(), torch.zeros(6).double()], dim=1)
    return make_structure([6] * 6 + [1] * 6, torch.cat([1.39 * ring, 2.48 * ring]))


def fullerene() -> Structure:
    """A truncated icosahedron of 60 atoms."""
    golden = (1 + math.sqrt(5)) / 2
    points = [
        (0.0, 1.0, 3 * golden),
        (1.0, 2 + golden, 2 * golden),
        (golden, 2.0, 2 * golden + 1),
    ]
    corners = {
        tuple(sign * x for sign, x in zip(signs, point))
        for point in points
        for signs in itertools.product((1, -1), repeat=3)
    }
    cyclic = sorted({corner[i:] + corner[:i] for corner in corners for i in range(3)})
    return make_structure([6] * 60, 0.7 * torch.tensor(cyclic, dtype=torch.float64))


def dioxide() -> Structure:
    """Three atoms in a row."""
    return make_structure([8, 6, 8], [[0.0, 0.0, -1.2], [0.0, 0.0, 0.0], [0.0, 0.0, 1.2]])


def atom() -> Structure:
    return make_structure([17], [[0.0, 0.0, 0.0]])


def overlapping() -> Structure:
    """Two of three atoms at the same place."""
    return make_structure([8, 1, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.9, 0.1]])


MOLECULES = {
    function.__name__: function()
    for function in (methane, benzene, fullerene, dioxide, atom, overlapping)
}

_FCC = [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
_CUBE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def _crystal(
    species: list[int], fractional: list[float], cell: list[list[float]], length: float
) -> Structure:
    positions = [[length * x] * 3 for x in fractional]
    vectors = torch.tensor(cell, dtype=torch.float64) * length
    structure = make_structure(species, torch.tensor(positions, dtype=torch.float64))
    return structure._replace(cell=vectors, pbc=torch.tensor([True] * 3))


# Cubic crystals whose atoms all sit at sites without a direction of their own
CRYSTALS = {
    "NaCl": _crystal([11, 17], [0.0, 0.5], _FCC, 5.6),
    "CsCl": _crystal([8, 17], [0.0, 0.5], _CUBE, 3.5),
    "ZnS": _crystal([1, 8], [0.0, 0.25], _FCC, 5.2),
    "MgO": _crystal([11, 8], [0.0, 0.5], _FCC, 4.2),
    "fcc": _crystal([17], [0.0], _FCC, 3.6),
}


def symmetries(structure: Structure) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Those rotations and reflections of a molecule that permute axes, or turn about z.

    :return: matrices ``[3, 3]``, each with the atom that every atom becomes ``[N]``
    """
    positions, species = structure.positions, structure.species
    found = []
    for matrix in _candidates():
        differences = (positions @ matrix.T).unsqueeze(1) - positions
        distances = torch.linalg.vector_norm(differences, dim=2)
        image = distances.argmin(1)
        if float(distances.amin(1).max()) < 1e-8 and bool(
            (species[image] == species).all()
        ):
            found.append((matrix, image))
    return found


def _candidates() -> list[torch.Tensor]:
    """Signed permutations of the axes, each after each sixth of a turn about z."""
    turns = []
    for sixth in range(6):
        cosine, sine = math.cos(sixth * math.pi / 3), math.sin(sixth * math.pi / 3)
        turns.append(
            torch.tensor(
                [[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]],
                dtype=torch.float64,
            )
        )
    signed = [
        torch.diag(torch.tensor(signs))[list(order)]
        for signs in itertools.product((1.0, -1.0), repeat=3)
        for order in itertools.permutations(range(3))
    ]
    return [(a.double() @ b.double()) for a in signed for b in turns]
