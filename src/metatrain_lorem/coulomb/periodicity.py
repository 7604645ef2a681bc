"""Which systems are periodic, and in what cells."""

import torch

from .cells import cell_volumes
from .slab import slab_cells


def closed_cells(
    positions: torch.Tensor,
    cells: torch.Tensor,
    pbc: torch.Tensor,
    systems: torch.Tensor,
    slab_gap: float,
    num_periodic: list[int],
) -> torch.Tensor:
    """Cells of which all three vectors are valid, with vacuum for slabs.

    :param slab_gap: see :func:`slab_cells`
    :param num_periodic: number of periodic directions of each system
    :return: ``[S, 3, 3]``; unit vectors for open systems
    """
    unit = torch.eye(3, dtype=cells.dtype, device=cells.device)
    if max(num_periodic) == 0:
        return unit.expand_as(cells)
    if 2 in num_periodic:
        cells = slab_cells(positions, cells, pbc, systems, slab_gap)
    if 0 in num_periodic:
        cells = torch.where(pbc.any(1)[:, None, None], cells, unit)
    return cells


def checked_cells(
    positions: torch.Tensor,
    cells: torch.Tensor,
    pbc: torch.Tensor,
    systems: torch.Tensor,
    slab_gap: float,
) -> tuple[torch.Tensor, list[int]]:
    """Closed cells without gradients, on the host, and their periodic directions.

    :raises ValueError: for a system that is periodic in one direction, or whose
        lattice vectors span no volume
    """
    num_periodic: list[int] = pbc.sum(1).tolist()
    for system, directions in enumerate(num_periodic):
        if directions == 1:
            raise ValueError(
                f"system {system} is periodic in one direction only; long-range "
                "interactions need periodicity in three, two or no directions"
            )
    cells = closed_cells(
        positions.detach(), cells.detach(), pbc, systems, slab_gap, num_periodic
    ).cpu()  # many operations on a few numbers will follow
    lengths = torch.linalg.vector_norm(cells, dim=2).prod(1)
    is_flat = ~(cell_volumes(cells) > 1e-6 * lengths)
    if bool(is_flat.any()):
        system = int(torch.nonzero(is_flat)[0, 0])
        raise ValueError(
            f"system {system} is periodic, but its lattice vectors span no volume"
        )
    return cells, num_periodic
