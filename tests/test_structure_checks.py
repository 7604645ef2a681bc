"""Structures without a neighbor list are refused before one is looked for."""

import numpy as np
import pytest

from metatrain_lorem.structure_checks import (
    MAX_EXTENT,
    TOO_CLOSE,
    check_structure,
    closest_pair,
)


POSITIONS = np.array([[0.0, 0.0, 0.0], [1.0, 0.1, 0.2], [0.3, 1.1, 2.0]])
CELL = np.diag([4.0, 5.0, 6.0])
ALL, NONE = np.array([True] * 3), np.array([False] * 3)


def moved(atom: int, axis: int, value: float) -> np.ndarray:
    positions = POSITIONS.copy()
    positions[atom, axis] = value
    return positions


def cell_with(row: int, axis: int, value: float) -> np.ndarray:
    cell = CELL.copy()
    cell[row, axis] = value
    return cell


def pbc(*axes: int) -> np.ndarray:
    return np.isin(np.arange(3), axes)


@pytest.mark.parametrize("periodic", [(), (0, 1), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("shift", [0.0, 1e3, 1e6])
def test_accepted(periodic, shift):
    """Periodic images may be anywhere, and so may the origin."""
    check_structure(POSITIONS + shift, CELL, pbc(*periodic))
    check_structure(POSITIONS + 1e5 * CELL[:, [0, 1, 2]] * ALL, CELL, ALL)


@pytest.mark.parametrize(
    ("positions", "cell", "periodic", "words"),
    [
        (moved(1, 2, np.nan), CELL, ALL, "z of atom 1 .from 0. is nan"),
        (moved(2, 0, np.inf), CELL, NONE, "x of atom 2 .from 0. is inf"),
        (moved(0, 1, -np.inf), CELL, pbc(0, 1), "y of atom 0 .from 0. is -inf"),
        (POSITIONS, cell_with(0, 0, np.nan), ALL, "x of lattice vector 0 .* is nan"),
        (POSITIONS, cell_with(2, 1, np.inf), pbc(0, 2), "y of lattice vector 2 .* is inf"),
        (POSITIONS, CELL, pbc(1), "periodic in one direction only"),
        (POSITIONS, np.zeros((3, 3)), ALL, "periodic along a, b, c, but .* is 0 Angstrom"),
        (POSITIONS, cell_with(2, 2, 0.0), ALL, "between lattice planes is 0 Angstrom"),
        (POSITIONS, 1e-8 * CELL, ALL, "lattice planes is 4e-08 Angstrom"),
        (POSITIONS, 0.05 * CELL, pbc(0, 1), "periodic along a, b, but .* is 0.2 Angstrom"),
        (POSITIONS, cell_with(1, 1, 0.3), ALL, "is 0.3 Angstrom .allowed: 0.5 or more"),
        (moved(1, 0, 1e6), CELL, NONE, "atom 1 .from 0. is 1e.06 away"),
        (moved(0, 2, 1e30), CELL, NONE, "atom 0 .from 0. is 1e.30 away"),
        (moved(0, 2, 1e30), CELL, pbc(0, 1), "atom 0 .from 0. is 1e.30 away"),
        (np.zeros((0, 3)), CELL, ALL, "there are no atoms"),
    ],
)
def test_refused(positions, cell, periodic, words):
    with pytest.raises(ValueError, match=words):
        check_structure(positions, cell, periodic)


def test_ignored():
    """Vectors of open directions, and positions along periodic ones."""
    check_structure(POSITIONS, cell_with(2, 2, np.nan), pbc(0, 1))
    check_structure(moved(0, 0, 1e12), CELL, pbc(0, 1))
    check_structure(moved(0, 2, 0.9 * MAX_EXTENT), CELL, NONE)


@pytest.mark.parametrize("periodic", [(), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("seed", range(5))
def test_closest_pair(seed, periodic):
    """The one of all images, in skewed cells."""
    rng = np.random.default_rng(seed)
    cell = 4.0 * np.eye(3) + 0.7 * rng.normal(size=(3, 3))
    is_periodic = pbc(*periodic)
    number = int(rng.integers(2, 40))
    positions = rng.random((number, 3)) @ cell
    shifts = [np.array(s) * is_periodic for s in np.ndindex(3, 3, 3)]
    vectors = [
        positions[None] - positions[:, None] + (s - is_periodic) @ cell for s in shifts
    ]
    distances = np.linalg.norm(vectors, axis=-1).min(axis=0) + 9 * np.eye(number)
    expected = np.unravel_index(distances.argmin(), distances.shape)
    moved = positions + rng.integers(-3, 4, (number, 3)) * is_periodic @ cell
    result = closest_pair(moved, cell, is_periodic)
    if distances.min() > TOO_CLOSE:
        assert result is None
    else:
        assert result[0] == pytest.approx(distances.min(), abs=1e-9)
        assert result[1:] == expected


def test_coincident_atoms():
    assert closest_pair(np.zeros((3, 3)), CELL, NONE) == (0.0, 0, 1)
    assert closest_pair(POSITIONS[[0, 1, 0]] + CELL[[0, 1, 2]] * 0, CELL, ALL) == (0, 0, 2)
    images = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3 - 6.0]])
    assert closest_pair(images, CELL, ALL)[0] == pytest.approx(0.0, abs=1e-12)
    assert closest_pair(images, CELL, NONE) is None
    assert closest_pair(POSITIONS[:1], CELL, ALL) is None
