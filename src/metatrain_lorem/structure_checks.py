"""What no structure may have: checked before the neighbor list, which would crash.

Used by the training and by the calculators. Lengths are in Angstrom.
"""

import numpy as np
import torch

from .ops.extent import check_extent


# vesin divides by zero (SIGFPE) for open systems beyond 2e5 Angstrom, at a cutoff of 5
MAX_EXTENT = 1e5
# Smallest distance between lattice planes: there are 1e4 neighbors of an atom at a
# density of one atom per (0.5 Angstrom)^3.
MIN_HEIGHT = 0.5
# Nearer atoms are one and the same to any physical model, and near ones most likely an
# error: the shortest bond is that of H2, 0.74 Angstrom. At most half of `MIN_HEIGHT`,
# so that the nearest image is found by rounding.
SAME_PLACE, TOO_CLOSE = 1e-2, 0.25


def check_structure(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> None:
    """Refuse what has no neighbor list, or would take all memory.

    :param positions: ``[N, 3]``
    :param cell: lattice vectors as rows ``[3, 3]``, those of open directions are ignored
    :param pbc: periodic directions ``[3]``
    :raises ValueError: naming atom or lattice vector, value and remedy
    """
    if len(positions) == 0:
        raise ValueError("there are no atoms: leave the structure out")
    _check_finite(positions, "atom", "xyz")
    _check_finite(cell[pbc], "lattice vector", "xyz", np.flatnonzero(pbc))
    if pbc.any():
        _check_cell(cell, pbc)
    points, vectors, periodic = (torch.from_numpy(x) for x in (positions, cell, pbc))
    check_extent(points, vectors, periodic, MAX_EXTENT)


def _check_finite(
    vectors: np.ndarray, what: str, axes: str, numbers: np.ndarray | None = None
) -> None:
    wrong = np.argwhere(~np.isfinite(vectors))
    if len(wrong) > 0:
        row, axis = wrong[0]
        number = row if numbers is None else numbers[row]
        raise ValueError(
            f"{axes[axis]} of {what} {number} (from 0) is {vectors[row, axis]}: each has "
            "to be a finite number"
        )


def _check_cell(cell: np.ndarray, pbc: np.ndarray) -> None:
    if pbc.sum() == 1:
        raise ValueError(
            "periodic in one direction only, which is not supported: make it periodic in "
            "two or three directions, with empty space between the images"
        )
    height = _smallest_height(cell[pbc])
    if height < MIN_HEIGHT:
        raise ValueError(
            f"periodic along {_directions(pbc)}, but the smallest distance between lattice "
            f"planes is {height:.3g} Angstrom (allowed: {MIN_HEIGHT} or more): check the "
            "cell and its unit, or set `pbc` to false along open directions"
        )


def _smallest_height(vectors: np.ndarray) -> float:
    """Smallest distance between lattice planes, of two or three lattice vectors."""
    gram = vectors @ vectors.T
    volume = np.sqrt(max(np.linalg.det(gram), 0.0))
    heights = []
    for i in range(len(vectors)):
        rest = np.delete(np.delete(gram, i, 0), i, 1)
        base = np.sqrt(max(np.linalg.det(rest), 0.0))
        heights.append(volume / base if base > 0 else 0.0)
    return float(min(heights))


def closest_pair(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray
) -> tuple[float, int, int] | None:
    """Distance and indices of the two closest atoms, if they are closer than `TOO_CLOSE`.

    Atoms are sorted along an axis and compared with those that follow within this distance.

    :param positions: of a structure that :func:`check_structure` accepts
    """
    axes, is_periodic = _axes(cell, pbc)
    coordinates = positions @ np.linalg.inv(axes)
    coordinates[:, is_periodic] %= 1.0
    heights = 1.0 / np.linalg.norm(np.linalg.inv(axes), axis=0)
    axis = int((np.ptp(coordinates, axis=0) * heights).argmax())
    order = coordinates[:, axis].argsort(kind="stable")
    coordinates = coordinates[order]
    nearest: tuple[float, int, int] | None = None
    for step in range(1, len(order)):
        others = np.roll(coordinates, -step, axis=0)
        differences = others - coordinates
        differences[:, is_periodic] -= np.round(differences[:, is_periodic])
        near = np.flatnonzero(np.abs(differences[:, axis]) * heights[axis] < TOO_CLOSE)
        if len(near) == 0:
            break
        distances = np.linalg.norm(differences[near] @ axes, axis=1)
        k = int(distances.argmin())
        if distances[k] < (TOO_CLOSE if nearest is None else nearest[0]):
            pair = order[near[k]], order[(near[k] + step) % len(order)]
            nearest = float(distances[k]), int(min(pair)), int(max(pair))
    return nearest


def _axes(cell: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lattice vectors, completed by unit vectors normal to them; which are periodic."""
    periodic = cell[pbc]
    number = len(periodic)
    normals = np.linalg.svd(periodic)[2][number:] if number > 0 else np.eye(3)
    return np.concatenate([periodic, normals]), np.arange(3) < number


def _directions(pbc: np.ndarray) -> str:
    return ", ".join(name for name, periodic in zip("abc", pbc) if periodic)
