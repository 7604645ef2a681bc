"""Systems as plain tensors: the input of the network.

Letters used for shapes throughout the package: ``N`` atoms, ``P`` directed pairs,
``S`` systems, ``G`` neighborhoods (one per atom and neighbor species), ``W`` slots of
a neighborhood, ``K`` radial functions, ``M = (L + 1)**2`` spherical components.
"""

from typing import NamedTuple

import torch


class Graph(NamedTuple):
    """A batch of ``S`` systems, their ``N`` atoms and ``P`` directed pairs.

    The atoms of one system are contiguous. Lengths share one unit (Angstrom).
    """

    positions: torch.Tensor  # [N, 3]
    species: torch.Tensor  # [N] atomic numbers
    cells: torch.Tensor  # [S, 3, 3] lattice vectors as rows
    pbc: torch.Tensor  # [S, 3] bool
    systems: torch.Tensor  # [N] index of the system of an atom
    centers: torch.Tensor  # [P] atom i of a pair
    neighbors: torch.Tensor  # [P] atom j of a pair
    cell_shifts: torch.Tensor  # [P, 3] integer multiples of the lattice vectors


class Neighborhoods(NamedTuple):
    """The pairs of a :class:`Graph`, laid out as ``G`` rows of ``W`` slots.

    A row holds all neighbors of one species around one center. Rows are sorted by
    their pair of species, so that rows of equal species are contiguous; empty slots
    have ``mask`` False. Sums over neighbors thereby become matrix products over the
    slots.
    """

    mask: torch.Tensor  # [G, W] bool
    neighbors: torch.Tensor  # [G, W] atom j (the center itself in empty slots)
    cell_shifts: torch.Tensor  # [G, W, 3] multiples of the lattice vectors
    centers: torch.Tensor  # [G] atom i
    species_pairs: torch.Tensor  # [T, 2] distinct pairs (Z_i, Z_j)
    pair_of_row: torch.Tensor  # [G] index into species_pairs
    rows_per_pair: list[int]  # [T] number of rows of each species pair


def gather_neighborhoods(graph: Graph) -> Neighborhoods:
    """Lay the pairs out as one row per (center, neighbor species).

    The result does not depend on the order of the pairs, except for the order of the
    summands within a row.
    """
    device = graph.centers.device
    num_atoms, num_pairs = graph.positions.shape[0], graph.centers.shape[0]
    species = graph.species.to(torch.int64)
    species_of_pair = species[graph.centers] * 65536 + species[graph.neighbors]
    keys, order = torch.sort(species_of_pair * num_atoms + graph.centers, stable=True)
    row_keys, row_of_pair, row_sizes = torch.unique_consecutive(
        keys, return_inverse=True, return_counts=True
    )
    num_rows = row_keys.shape[0]
    width = int(row_sizes.max()) if num_rows > 0 else 0

    row_starts = torch.cumsum(row_sizes, 0) - row_sizes
    slots = (
        torch.arange(num_pairs, device=device)
        + row_of_pair * width
        - row_starts[row_of_pair]
    )
    centers = row_keys % max(num_atoms, 1)
    species_keys, pair_of_row, rows_per_pair = torch.unique_consecutive(
        torch.div(row_keys, max(num_atoms, 1), rounding_mode="floor"),
        return_inverse=True,
        return_counts=True,
    )
    sizes: list[int] = rows_per_pair.tolist()
    mask = torch.zeros(num_rows * width, dtype=torch.bool, device=device)
    mask = mask.index_fill(0, slots, True).reshape(num_rows, width)
    neighbors = centers.repeat_interleave(width)
    neighbors = neighbors.index_copy(0, slots, graph.neighbors.index_select(0, order))
    neighbors = neighbors.reshape(num_rows, width)
    shifts = torch.zeros(num_rows * width, 3, dtype=graph.cells.dtype, device=device)
    cell_shifts = graph.cell_shifts.index_select(0, order).to(shifts.dtype)
    shifts = shifts.index_copy(0, slots, cell_shifts)
    return Neighborhoods(
        mask=mask,
        neighbors=neighbors,
        cell_shifts=shifts.reshape(num_rows, width, 3),
        centers=centers,
        species_pairs=torch.stack([species_keys // 65536, species_keys % 65536], dim=1),
        pair_of_row=pair_of_row,
        rows_per_pair=sizes,
    )


def neighbor_vectors(graph: Graph, rows: Neighborhoods, cutoff: float) -> torch.Tensor:
    """``r_ij = r_j - r_i + shift_ij @ cell``, differentiable in positions and cells.

    :param rows: the pairs of ``graph``
    :param cutoff: components of the vectors in empty slots are twice as long, where every
        radial function vanishes
    :return: vectors from centers to neighbors, ``[G, W, 3]``
    """
    # Components first in memory: gathers, and their scattered gradients, are faster.
    positions = graph.positions.t().contiguous()  # [3, N]
    of_neighbors = positions.index_select(1, rows.neighbors.flatten())
    of_centers = positions.index_select(1, rows.centers).unsqueeze(2)  # [3, G, 1]
    cells = graph.cells.index_select(0, graph.systems.index_select(0, rows.centers))
    shifts = torch.bmm(rows.cell_shifts, cells).permute(2, 0, 1)
    vectors = of_neighbors.reshape_as(shifts) - of_centers + shifts
    return torch.where(rows.mask, vectors, 2.0 * cutoff).permute(1, 2, 0)
