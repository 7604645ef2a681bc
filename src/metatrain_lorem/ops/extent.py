"""How far atoms may be from each other where nothing brings them back."""

import torch


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
    periodic = cell[pbc]
    rest = positions - positions @ torch.linalg.pinv(periodic) @ periodic
    distances = (rest - rest.median(0).values).abs().amax(1)
    farthest = int(distances.argmax())
    if float(distances[farthest]) > limit:
        raise ValueError(
            f"atom {farthest} (from 0) is {float(distances[farthest]):.3g} away from the "
            f"others (allowed: {limit:.3g}): check its position and the unit of length"
        )
