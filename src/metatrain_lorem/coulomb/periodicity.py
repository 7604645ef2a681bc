"""Which systems are periodic, and in what cells."""

from typing import NamedTuple

import torch

from ..ops.rows import count_rows, take_rows
from .cells import inverses_and_volumes
from .slab import slab_cells


class Lattices(NamedTuple):
    """What decides how to sum ``S`` systems: on the host, without gradients."""

    num_atoms: list[int]
    num_periodic: list[int]  # periodic directions
    volumes: list[float]  # of the closed cells
    lengths: list[list[float]]  # of the lattice vectors
    cells: torch.Tensor  # [S, 3, 3] closed cells, float64
    inverses: torch.Tensor  # [S, 3, 3]


def checked_lattices(
    positions: torch.Tensor,
    cells: torch.Tensor,
    pbc: torch.Tensor,
    systems: torch.Tensor,
    slab_gap: float,
) -> Lattices:
    """Atoms, periodicity and closed cells of all systems.

    :param slab_gap: see :func:`.slab_cells`
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
    cells = cells.to(torch.float64)
    inverses, volumes = inverses_and_volumes(cells)
    all_volumes: list[float] = volumes.tolist()
    lengths: list[list[float]] = torch.linalg.vector_norm(cells, dim=2).tolist()
    for system, (a, b, c) in enumerate(lengths):
        if not all_volumes[system] > 1e-6 * a * b * c:  # also for NaN
            raise ValueError(
                f"system {system} is periodic, but its lattice vectors span no volume"
            )
    num_atoms: list[int] = count_rows(systems, len(num_periodic)).tolist()
    return Lattices(num_atoms, num_periodic, all_volumes, lengths, cells, inverses)


def closed_cells(
    positions: torch.Tensor,
    cells: torch.Tensor,
    pbc: torch.Tensor,
    systems: torch.Tensor,
    slab_gap: float,
    num_periodic: list[int],
) -> torch.Tensor:
    """Cells of which all three vectors are valid, with vacuum for slabs.

    :param slab_gap: see :func:`.slab_cells`
    :param num_periodic: number of periodic directions of each system
    :return: ``[S, 3, 3]``; unit vectors for open systems
    """
    if 2 in num_periodic:
        cells = slab_cells(positions, cells, pbc, systems, slab_gap)
    if 0 in num_periodic:
        unit = torch.eye(3, dtype=cells.dtype, device=cells.device)
        cells = torch.where(pbc.any(1)[:, None, None], cells, unit)
    return cells


def near_origin(
    positions: torch.Tensor,
    cells: torch.Tensor,
    pbc: torch.Tensor,
    systems: torch.Tensor,
    lattices: Lattices,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same systems close to the origin, where they can be rounded.

    float32 holds a position of 1000 Angstrom to 3e-5 Angstrom.

    :param dtype: type of the results; nothing is done if it is the present one
    :return: positions and cells, differentiable in both
    """
    if positions.dtype == dtype or positions.shape[0] == 0:
        return positions, cells
    positions = moved_to_origin(positions, cells, pbc, systems, lattices)
    return positions.to(dtype), cells.to(dtype)


def moved_to_origin(
    positions: torch.Tensor,
    cells: torch.Tensor,
    pbc: torch.Tensor,
    systems: torch.Tensor,
    lattices: Lattices,
) -> torch.Tensor:
    """The first atom of each system at the origin, and the nearest image of all others.

    So molecules in a large cell stay whole, wherever they are: their distances are those of
    small numbers.

    :param positions: ``[N, 3]``
    :param cells: ``[S, 3, 3]``
    :param pbc: ``[S, 3]``
    :param systems: ``[N]``
    :param lattices: the closed cells of these systems
    :return: ``[N, 3]``, with the derivatives by positions and cells
    """
    inverse = lattices.inverses.to(positions.device, positions.dtype)
    index = torch.arange(cells.shape[0], device=systems.device)
    first = torch.searchsorted(systems, index).clamp(max=positions.shape[0] - 1)
    origins = take_rows(positions.detach(), first)
    periodic = pbc.unsqueeze(1)
    # As far as possible by lattice vectors, which are strained like the positions: the
    # derivatives by strain, too, are then those of small numbers.
    of_origins = torch.floor(torch.bmm(origins.unsqueeze(1), inverse)) * periodic
    vectors = (positions.detach() - take_rows(origins, systems)).unsqueeze(1)
    nearest = torch.round(torch.bmm(vectors, take_rows(inverse, systems)))
    whole = nearest * take_rows(periodic, systems) + take_rows(of_origins, systems)
    shifts = torch.bmm(whole, take_rows(cells, systems)).squeeze(1)
    rest = origins - torch.bmm(of_origins, cells.detach()).squeeze(1)
    return positions - shifts - take_rows(rest, systems)


def some_lattices(lattices: Lattices, systems: list[int]) -> Lattices:
    """Those of some systems."""
    if systems == list(range(len(lattices.num_atoms))):
        return lattices
    index = torch.tensor(systems)
    return Lattices(
        [lattices.num_atoms[system] for system in systems],
        [lattices.num_periodic[system] for system in systems],
        [lattices.volumes[system] for system in systems],
        [lattices.lengths[system] for system in systems],
        lattices.cells[index],
        lattices.inverses[index],
    )
