"""How far atoms may be from each other where nothing brings them back."""

import torch


# vesin sorts atoms into boxes as wide as the cutoff. Instead of more than 1e5, it takes
# fewer in all directions, and divides by zero (SIGFPE) where less than one is left: half
# of that is safe.
MAX_BOXES, MIN_BOXES = 5e4, 1.5


def check_extent(
    positions: torch.Tensor, cell: torch.Tensor, pbc: torch.Tensor, limit: float
) -> None:
    """Refuse atoms so far away along open directions that no neighbor list is possible.

    Distances are from the median of all atoms, so that the one that left is named.

    :param positions: ``[N, 3]``; along periodic directions, any image will do
    :param cell: lattice vectors as rows ``[3, 3]``, those of open directions are ignored
    :param pbc: periodic directions ``[3]``
    :param limit: largest distance along any axis, in the unit of ``positions``
    :raises ValueError: naming the atom, counted from 0
    """
    if positions.shape[0] == 0 or bool(pbc.all()):
        return
    rest = _along_open(positions, cell[pbc])
    distances = (rest - rest.median(0).values).abs().amax(1)
    farthest = int(distances.argmax())
    if float(distances[farthest]) > limit:
        raise ValueError(
            f"atom {farthest} (from 0) is {float(distances[farthest]):.3g} away from the "
            f"others (allowed: {limit:.3g}): check its position and the unit of length"
        )


def check_search(
    positions: torch.Tensor, cell: torch.Tensor, pbc: torch.Tensor, cutoff: float
) -> None:
    """Refuse what is so wide in two directions, and so thin in one, that vesin crashes.

    :param positions: ``[N, 3]``
    :param cell: lattice vectors as rows ``[3, 3]``, those of open directions are ignored
    :param pbc: periodic directions ``[3]``
    :param cutoff: of the neighbor list, in the unit of ``positions``
    :raises ValueError: with the widths
    """
    if positions.shape[0] == 0:
        return
    widths = _widths(positions, cell, pbc)
    boxes = (widths / cutoff).floor().clamp(min=1)
    number = float(boxes.prod())
    fewest = float(boxes.min()) * (MAX_BOXES / number) ** (1 / 3)
    if number > MAX_BOXES and fewest < MIN_BOXES:
        listed = " x ".join(f"{width:.3g}" for width in widths.tolist())
        raise ValueError(
            f"atoms or cell extend over {listed}, too wide and too thin for a search for "
            "neighbors: has an atom left the others? Check positions, cell and their unit"
        )


def _widths(positions: torch.Tensor, cell: torch.Tensor, pbc: torch.Tensor) -> torch.Tensor:
    """Between lattice planes, and from the first to the last atom of open directions."""
    periodic = cell[pbc]
    heights = torch.linalg.vector_norm(torch.linalg.pinv(periodic), dim=0).reciprocal()
    rest = _along_open(positions, periodic)
    extents = rest.amax(0) - rest.amin(0)
    if len(periodic) == 2:
        extents = torch.linalg.vector_norm(extents, dim=0, keepdim=True)
    return torch.cat([heights, extents.sort(descending=True).values])[:3]


def _along_open(positions: torch.Tensor, periodic: torch.Tensor) -> torch.Tensor:
    """What no lattice vector reaches: the part of the positions normal to all of them."""
    return positions - positions @ torch.linalg.pinv(periodic) @ periodic
