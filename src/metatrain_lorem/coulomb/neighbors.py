"""Neighbor lists of single systems, for use without an engine."""

import torch

from ..ops.extent import check_extent, check_search


# In cutoffs, along open directions: vesin divides by zero (SIGFPE) at twice as much
MAX_EXTENT = 2e4


def neighbor_list(
    positions: torch.Tensor, cell: torch.Tensor, pbc: torch.Tensor, cutoff: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All directed pairs within the cutoff, including periodic images.

    :param positions: ``[N, 3]``
    :param cell: ``[3, 3]``; rows of open directions are ignored
    :param pbc: ``[3]`` booleans
    :param cutoff: in the unit of ``positions``
    :return: centers ``[P]``, neighbors ``[P]`` and integer cell shifts ``[P, 3]``
    :raises ValueError: for an atom too far away from the others
    """
    import vesin  # only here: the network itself runs without it

    points, box = (x.detach().cpu().double() for x in (positions, cell))
    check_extent(points, box, pbc.cpu(), MAX_EXTENT * cutoff)
    check_search(points, box, pbc.cpu(), cutoff)
    calculator = vesin.NeighborList(cutoff=cutoff, full_list=True)
    centers, neighbors, shifts = calculator.compute(
        points=points.numpy(),
        box=box.numpy(),
        periodic=pbc.cpu().numpy(),
        quantities="ijS",
    )
    device = positions.device
    return (
        torch.from_numpy(centers.astype("int64")).to(device),
        torch.from_numpy(neighbors.astype("int64")).to(device),
        torch.from_numpy(shifts.astype("int64")).to(device),
    )
