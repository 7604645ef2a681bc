"""Coulomb potentials of any number of charge columns, in any periodicity.

Conventions, shared with the reference code of LOREM and with torch-pme: Gaussian-like
units (a unit charge at distance ``r`` contributes ``1 / r``), and potentials carry a
factor 1/2, so that the electrostatic energy of a system is ``(q * v).sum()``. Multiply by
``torchpme.prefactors.eV_A`` (14.3996) for energies in eV from elementary charges and
Angstrom.
"""

import math
from typing import Optional

import torch
from torch.utils.checkpoint import checkpoint

from .graph import Graph, Neighborhoods, gather_neighborhoods, safe_norm
from .kspace import ReciprocalSum
from .neighbors import neighbor_list
from .slab import slab_cells, slab_correction

# Vacuum of a slab in units of the longer lattice vector: 3 leaves a relative error of
# 1e-9. The reference code takes 1.5, which leaves 2e-5.
SLAB_GAP = 3.0
REFERENCE_SLAB_GAP = 1.5


class CoulombPotential(torch.nn.Module):
    r"""Potentials of point charges, by Ewald summation where a system is periodic.

    .. math::

        v_i = \frac12 \sum_{j, \mathbf n} \frac{q_j}{|r_{ij} + \mathbf n|}

    * three periodic directions: Ewald sum with tin-foil boundary; charged systems get a
      neutralizing background;
    * two: the same in a cell closed by vacuum, with the slab correction
      (:mod:`metatrain_lorem.slab`);
    * none: the bare sum over all pairs;
    * one: refused.

    A batch may mix all of these; each system gets the potentials it would get alone.

    :param cutoff: radius of the real-space sum; the pairs of a periodic system must
        include all those within it
    :param smearing: width :math:`\sigma` of the Gaussian charges that split the sum. The
        real-space sum neglects a relative :math:`\mathrm{erfc}(r_c / \sqrt2 \sigma)`,
        6e-5 at the usual ``cutoff / 4``
    :param accuracy: relative size of the neglected reciprocal-space terms; 0 selects
        the k-vectors and the slab vacuum of the reference code
    :param memory: bytes that the working arrays of one step may take
    """

    def __init__(
        self,
        cutoff: float,
        smearing: float,
        accuracy: float = 1e-6,
        memory: int = 2**29,
    ) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.smearing = smearing
        self.memory = memory
        reference = accuracy == 0.0
        self.slab_gap = REFERENCE_SLAB_GAP if reference else SLAB_GAP
        self.reciprocal = ReciprocalSum(
            smearing,
            accuracy=1e-6 if reference else accuracy,
            reference_wavelength=cutoff / 8 if reference else 0.0,
            memory=memory,
        )

    def forward(
        self,
        graph: Graph,
        rows: Neighborhoods,
        distances: torch.Tensor,
        charges: torch.Tensor,
    ) -> torch.Tensor:
        """Potentials at the atoms.

        :param graph: systems with all their pairs within the cutoff (full list)
        :param rows: the pairs of ``graph``, laid out as neighborhoods
        :param distances: lengths of the pair vectors, ``[G, W]``
        :param charges: ``[N, C]``
        :return: ``[N, C]``
        :raises ValueError: for a system that is periodic in one direction, or whose
            lattice vectors span no volume
        """
        positions, pbc, systems = graph.positions, graph.pbc, graph.systems
        if positions.shape[0] == 0:
            return charges
        num_periodic: list[int] = pbc.sum(1).tolist()
        for system, directions in enumerate(num_periodic):
            if directions == 1:
                raise ValueError(
                    f"system {system} is periodic in one direction only; long-range "
                    "interactions need periodicity in three, two or no directions"
                )
        cells = slab_cells(positions, graph.cells, pbc, systems, self.slab_gap)
        is_periodic = pbc.any(1)
        # An open system has no cell; any will do, as its values are discarded.
        unit = torch.eye(3, dtype=cells.dtype, device=cells.device)
        cells = torch.where(is_periodic[:, None, None], cells, unit)
        volumes = torch.abs(torch.linalg.det(cells))
        self._check_volumes(cells, volumes)

        potentials = self._within_cutoff(charges, rows, distances, is_periodic[systems])
        if max(num_periodic) > 0:
            corrections = self._self_and_background(charges, systems, volumes)
            if 2 in num_periodic:
                corrections = corrections + slab_correction(
                    positions, charges, cells, pbc, systems, volumes
                )
            potentials = potentials + corrections * is_periodic[systems].unsqueeze(1)
        potentials = potentials + self._beyond_cutoff(
            positions, charges, cells, systems, num_periodic
        )
        return 0.5 * potentials

    def _check_volumes(self, cells: torch.Tensor, volumes: torch.Tensor) -> None:
        lengths = torch.linalg.vector_norm(cells.detach(), dim=2).prod(1)
        is_flat = volumes.detach() <= 1e-6 * lengths
        if bool(is_flat.any()):
            system = int(torch.nonzero(is_flat)[0, 0])
            raise ValueError(
                f"system {system} is periodic, but its lattice vectors span no volume"
            )

    def _within_cutoff(
        self,
        charges: torch.Tensor,
        rows: Neighborhoods,
        distances: torch.Tensor,
        is_periodic: torch.Tensor,
    ) -> torch.Tensor:
        """Short-ranged part ``erfc(r / sqrt(2) sigma) / r`` of the periodic systems."""
        used = rows.mask & (distances < self.cutoff)
        used = used & is_periodic[rows.centers].unsqueeze(1)
        distances = not_too_close(distances)
        kernel = torch.erfc(distances / (math.sqrt(2.0) * self.smearing)) / distances
        neighbor_charges = charges.index_select(0, rows.neighbors.flatten()).reshape(
            distances.shape[0], distances.shape[1], charges.shape[1]
        )
        sums = torch.bmm((kernel * used).unsqueeze(1), neighbor_charges).squeeze(1)
        return torch.zeros_like(charges).index_add(0, rows.centers, sums)

    def _self_and_background(
        self, charges: torch.Tensor, systems: torch.Tensor, volumes: torch.Tensor
    ) -> torch.Tensor:
        """Take out the smeared charge itself, and the mean of the smeared part."""
        totals = torch.zeros(
            volumes.shape[0], charges.shape[1], dtype=charges.dtype, device=charges.device
        ).index_add(0, systems, charges)
        background = 2 * math.pi * self.smearing**2 * totals / volumes.unsqueeze(1)
        return -math.sqrt(2 / math.pi) / self.smearing * charges - background[systems]

    def _beyond_cutoff(
        self,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cells: torch.Tensor,
        systems: torch.Tensor,
        num_periodic: list[int],
    ) -> torch.Tensor:
        """Smooth part of the periodic systems, all pairs of the open ones.

        Similar systems are padded to a common size and treated as one batch.
        """
        counts: list[int] = torch.bincount(systems, minlength=cells.shape[0]).tolist()
        sizes: list[list[int]] = self.reciprocal.box_sizes(cells).tolist()
        is_open = [directions == 0 for directions in num_periodic]
        starts = [0]
        for count in counts:
            starts.append(starts[-1] + count)

        parts: list[torch.Tensor] = []
        atoms_of_parts: list[torch.Tensor] = []
        for group in group_systems(counts, sizes, is_open):
            atoms, real = padded_atoms(
                [starts[system] for system in group],
                [counts[system] for system in group],
                positions.device,
            )
            shape = [atoms.shape[0], atoms.shape[1], -1]
            group_positions = positions.index_select(0, atoms.flatten()).reshape(shape)
            group_charges = charges.index_select(0, atoms.flatten()).reshape(shape)
            group_charges = group_charges * real.unsqueeze(2)
            if is_open[group[0]]:
                potentials = open_potentials(group_positions, group_charges, self.memory)
            else:
                largest = [max([sizes[s][axis] for s in group]) for axis in range(3)]
                group_cells = cells[torch.tensor(group, device=cells.device)]
                potentials = self.reciprocal(
                    group_positions, group_charges, group_cells, largest
                )
            parts.append(potentials[real])
            atoms_of_parts.append(atoms[real])
        return torch.zeros_like(charges).index_copy(
            0, torch.cat(atoms_of_parts), torch.cat(parts)
        )


def not_too_close(distances: torch.Tensor) -> torch.Tensor:
    """Distances of at least 1e-6: overlapping charges give finite potentials."""
    return distances.clamp(min=1e-6)


def group_systems(
    counts: list[int], sizes: list[list[int]], is_open: list[bool]
) -> list[list[int]]:
    """Group systems so that padding at most doubles the work.

    :param counts: atoms of each system
    :param sizes: largest k-vector index of each system along each axis
    :param is_open: whether a system is summed over pairs instead of k-vectors
    :return: lists of system indices; systems of one list agree in ``is_open``
    """
    if len(counts) == 1:
        return [[0]]
    costs: list[int] = []
    for count, size, open_system in zip(counts, sizes, is_open):
        costs.append(count * count if open_system else count * _box_volume(size))
    order: list[int] = torch.argsort(torch.tensor(costs)).tolist()
    groups: list[list[int]] = []
    for wanted in [True, False]:
        group: list[int] = []
        cost, count, size = 0, 0, [0, 0, 0]
        for system in order:
            if is_open[system] != wanted or counts[system] == 0:
                continue
            new_size = [max([a, b]) for a, b in zip(size, sizes[system])]
            new_count = max([count, counts[system]])
            padded = new_count * (new_count if wanted else _box_volume(new_size))
            if (len(group) + 1) * padded > 2 * (cost + costs[system]) and cost > 0:
                groups.append(group)
                group, cost = [], 0
                new_size, new_count = sizes[system], counts[system]
            group.append(system)
            cost, count, size = cost + costs[system], new_count, new_size
        if len(group) > 0:
            groups.append(group)
    return groups


def _box_volume(size: list[int]) -> int:
    return (size[0] + 1) * (2 * size[1] + 1) * (2 * size[2] + 1)


def padded_atoms(
    starts: list[int], counts: list[int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Atoms of several systems as a rectangle, ``[B, N]`` indices and ``[B, N]`` mask."""
    slots = torch.arange(max(counts), device=device)
    real = slots < torch.tensor(counts, device=device).unsqueeze(1)
    atoms = torch.tensor(starts, device=device).unsqueeze(1) + slots
    return torch.where(real, atoms, atoms[:, :1]), real


def open_potentials(
    positions: torch.Tensor, charges: torch.Tensor, memory: int
) -> torch.Tensor:
    r"""Bare sums :math:`v_i = \sum_{j 
eq i} q_j / r_{ij}` over all pairs.

    :param positions: ``[B, N, 3]``
    :param charges: ``[B, N, C]``, zero for padding
    :param memory: bytes that the working arrays may take
    :return: ``[B, N, C]``
    """
    num_systems, num_atoms = positions.shape[0], positions.shape[1]
    bytes_per_row = 8 * positions.element_size() * num_systems * num_atoms
    chunk_size = max(1, memory // bytes_per_row)
    parts: list[torch.Tensor] = []
    for start in range(0, num_atoms, chunk_size):
        stop = min(start + chunk_size, num_atoms)
        if torch.jit.is_scripting() or chunk_size >= num_atoms:
            part = open_rows(positions, charges, start, stop)
        else:
            # The arrays of a chunk are computed again in the backward pass.
            part = checkpoint(
                open_rows, positions, charges, start, stop, use_reentrant=False
            )
        parts.append(part)
    return torch.cat(parts, dim=1)


def open_rows(
    positions: torch.Tensor, charges: torch.Tensor, start: int, stop: int
) -> torch.Tensor:
    """Rows ``start ... stop - 1`` of :func:`open_potentials`, ``[B, rows, C]``."""
    vectors = positions[:, start:stop].unsqueeze(2) - positions.unsqueeze(1)
    distances = not_too_close(safe_norm(vectors))
    rows = torch.arange(start, stop, device=positions.device).unsqueeze(1)
    others = rows != torch.arange(positions.shape[1], device=positions.device)
    return torch.bmm(others / distances, charges)


def coulomb_potentials(
    positions: torch.Tensor,
    charges: torch.Tensor,
    cell: torch.Tensor,
    pbc: torch.Tensor,
    *,
    cutoff: float,
    smearing: Optional[float] = None,
    accuracy: float = 1e-6,
    memory: int = 2**29,
) -> torch.Tensor:
    r"""Coulomb potentials of one system, which may be open, a slab or a crystal.

    Finds its neighbors itself. Differentiable twice in positions, charges and cell. See
    :class:`CoulombPotential` for formulas.

    :param positions: ``[N, 3]``
    :param charges: ``[N, C]``; each column is a problem of its own
    :param cell: lattice vectors as rows, ``[3, 3]``; rows of open directions are ignored
    :param pbc: periodic directions, ``[3]`` booleans
    :param cutoff: radius of the real-space sum, in the unit of ``positions``
    :param smearing: width of the Gaussian charges; by default the widest one at which
        the real-space sum reaches ``accuracy``
    :param accuracy: relative size of the neglected terms
    :param memory: bytes that the working arrays of one step may take
    :return: potentials with the factor 1/2, ``[N, C]``; the energy is ``(q * v).sum()``
    :raises ValueError: for periodicity in one direction or a cell without volume
    """
    if smearing is None:
        smearing = cutoff / math.sqrt(-2 * math.log(accuracy))
    centers, neighbors, cell_shifts = neighbor_list(positions, cell, pbc, cutoff)
    num_atoms = positions.shape[0]
    zeros = torch.zeros(num_atoms, dtype=torch.int64, device=positions.device)
    graph = Graph(
        positions=positions,
        species=zeros,
        cells=cell.unsqueeze(0),
        pbc=pbc.unsqueeze(0),
        systems=zeros,
        centers=centers,
        neighbors=neighbors,
        cell_shifts=cell_shifts,
    )
    rows = gather_neighborhoods(graph, cutoff)
    solver = CoulombPotential(cutoff, smearing, accuracy, memory)
    return solver(graph, rows, safe_norm(rows.vectors), charges)
