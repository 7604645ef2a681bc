"""Systems as plain tensors: the input of the network.

Letters used for shapes throughout the package: ``N`` atoms, ``P`` directed pairs,
``S`` systems, ``G`` neighborhoods (one per atom and neighbor species), ``W`` slots of
a neighborhood, ``T`` pairs of species, ``K`` radial functions, ``M = (L + 1)**2``
spherical components.
"""

from typing import NamedTuple, Optional

import torch

from .ops.safe_norm import safe_norm


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
    # [S, 2] total charge and spin multiplicity, integers; None: all neutral singlets
    states: Optional[torch.Tensor] = None


class Neighborhoods(NamedTuple):
    """The pairs of a :class:`Graph`, laid out as ``G`` neighborhoods of ``W`` slots.

    A neighborhood holds all neighbors of one species around one center. Neighborhoods
    are sorted by their pair of species, so that those of equal species are contiguous;
    empty slots have ``mask`` False. Sums over neighbors thereby become matrix products
    over the slots.
    """

    mask: torch.Tensor  # [G, W] bool
    neighbors: torch.Tensor  # [G, W] atom j (the center itself in empty slots)
    cell_shifts: torch.Tensor  # [G, W, 3] multiples of the lattice vectors
    centers: torch.Tensor  # [G] atom i
    species_pairs: torch.Tensor  # [T, 2] distinct pairs (Z_i, Z_j)
    species_pair_index: torch.Tensor  # [G] index into species_pairs
    species_pair_counts: list[int]  # [T] number of neighborhoods of each species pair


class Geometry(NamedTuple):
    """A :class:`Graph` and the vectors of its pairs: what all stages of a network see."""

    graph: Graph
    neighborhoods: Neighborhoods
    vectors: torch.Tensor  # [G, W, 3] from centers to neighbors
    distances: torch.Tensor  # [G, W] their lengths


def states_of(graph: Graph) -> torch.Tensor:
    """Total charge and spin multiplicity of each system, ``[S, 2]``, integers."""
    states = graph.states
    if states is None:
        neutral_singlet = torch.tensor([[0, 1]], device=graph.systems.device)
        states = neutral_singlet.repeat(graph.cells.shape[0], 1)
    return states


def gather_neighborhoods(graph: Graph) -> Neighborhoods:
    """Lay the pairs out as one neighborhood per (center, neighbor species).

    The result does not depend on the order of the pairs, except for the order of the
    summands within a neighborhood.
    """
    device = graph.centers.device
    num_atoms, num_pairs = graph.positions.shape[0], graph.centers.shape[0]
    # Two species as one integer, which times the number of atoms stays below 2**63
    max_species = 65536
    species = graph.species.to(torch.int64)
    pair_keys = species[graph.centers] * max_species + species[graph.neighbors]
    pair_keys, order = torch.sort(pair_keys * num_atoms + graph.centers, stable=True)
    keys, neighborhood_of_pair, counts = torch.unique_consecutive(
        pair_keys, return_inverse=True, return_counts=True
    )
    num_neighborhoods = keys.shape[0]
    width = int(counts.max()) if num_neighborhoods > 0 else 0

    starts = torch.cumsum(counts, 0) - counts
    slots = (
        torch.arange(num_pairs, device=device)
        + neighborhood_of_pair * width
        - starts[neighborhood_of_pair]
    )
    centers = keys % max(num_atoms, 1)
    species_keys, species_pair_index, species_pair_counts = torch.unique_consecutive(
        torch.div(keys, max(num_atoms, 1), rounding_mode="floor"),
        return_inverse=True,
        return_counts=True,
    )
    sizes: list[int] = species_pair_counts.tolist()
    mask = torch.zeros(num_neighborhoods * width, dtype=torch.bool, device=device)
    mask = mask.index_fill(0, slots, True).reshape(num_neighborhoods, width)
    neighbors = centers.repeat_interleave(width)
    neighbors = neighbors.index_copy(0, slots, graph.neighbors.index_select(0, order))
    dtype = graph.cells.dtype
    shifts = torch.zeros(num_neighborhoods * width, 3, dtype=dtype, device=device)
    cell_shifts = graph.cell_shifts.index_select(0, order).to(dtype)
    shifts = shifts.index_copy(0, slots, cell_shifts)
    return Neighborhoods(
        mask=mask,
        neighbors=neighbors.reshape(num_neighborhoods, width),
        cell_shifts=shifts.reshape(num_neighborhoods, width, 3),
        centers=centers,
        species_pairs=torch.stack(
            [species_keys // max_species, species_keys % max_species], dim=1
        ),
        species_pair_index=species_pair_index,
        species_pair_counts=sizes,
    )


def neighbor_vectors(
    graph: Graph, neighborhoods: Neighborhoods, cutoff: float
) -> torch.Tensor:
    """``r_ij = r_j - r_i + shift_ij @ cell``, differentiable in positions and cells.

    :param neighborhoods: the pairs of ``graph``
    :param cutoff: components of the vectors in empty slots are twice as long, where every
        radial function vanishes
    :return: vectors from centers to neighbors, ``[G, W, 3]``
    """
    centers = neighborhoods.centers
    # Components first in memory: gathers, and their scattered gradients, are faster.
    positions = graph.positions.t().contiguous()  # [3, N]
    of_neighbors = positions.index_select(1, neighborhoods.neighbors.flatten())
    of_centers = positions.index_select(1, centers).unsqueeze(2)  # [3, G, 1]
    cells = graph.cells.index_select(0, graph.systems.index_select(0, centers))
    shifts = torch.bmm(neighborhoods.cell_shifts, cells).permute(2, 0, 1)
    vectors = of_neighbors.reshape_as(shifts) - of_centers + shifts
    return torch.where(neighborhoods.mask, vectors, 2.0 * cutoff).permute(1, 2, 0)


def rounded(geometry: Geometry, dtype: torch.dtype) -> Geometry:
    """Vectors and distances in the floating-point type of the network.

    Differences of positions are small numbers: rounded, they are as good as new, wherever
    the system is. The positions themselves would not be, see
    :func:`.coulomb.periodicity.near_origin`.
    """
    if geometry.vectors.dtype == dtype:
        return geometry
    vectors, distances = geometry.vectors.to(dtype), geometry.distances.to(dtype)
    return Geometry(geometry.graph, geometry.neighborhoods, vectors, distances)


def geometry_of(graph: Graph, neighborhoods: Neighborhoods, cutoff: float) -> Geometry:
    """Vectors and distances of all pairs, see :func:`neighbor_vectors`."""
    vectors = neighbor_vectors(graph, neighborhoods, cutoff)
    return Geometry(graph, neighborhoods, vectors, safe_norm(vectors))
