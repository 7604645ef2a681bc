"""Coulomb potentials of a batch of systems, in any periodicity."""

import torch

from ..graph import Graph, Neighborhoods
from ..ops.rows import count_rows, take_rows
from .cells import cell_volumes
from .kspace import ReciprocalSum
from .mesh import MeshSum
from .open_systems import open_potentials
from .periodicity import checked_cells, closed_cells
from .plan import CoulombPlan, SystemGroup, box_volume, group_systems, padded_atoms
from .real_space import self_and_background, within_cutoff
from .slab import slab_correction, slab_gap


# Vacuum of a slab in units of the longer lattice vector, in the reference code
REFERENCE_SLAB_GAP = 1.5


class CoulombPotential(torch.nn.Module):
    r"""Potentials of point charges, by Ewald summation where a system is periodic.

    .. math::

        v_i = \frac12 \sum_{j, \mathbf n} \frac{q_j}{|r_{ij} + \mathbf n|}

    * three periodic directions: Ewald sum with tin-foil boundary; charged systems get a
      neutralizing background;
    * two: the same in a cell closed by vacuum, with the slab correction
      (:mod:`.slab`);
    * none: the bare sum over all pairs;
    * one: refused.

    A batch may mix all of these; each system gets the potentials it would get alone.

    :param cutoff: radius of the real-space sum; the pairs of a periodic system must
        include all those within it
    :param smearing: width :math:`\sigma` of the Gaussian charges that split the sum. The
        real-space sum neglects a relative :math:`\mathrm{erfc}(r_c / \sqrt2 \sigma)`,
        6e-5 at the usual ``cutoff / 4``
    :param accuracy: RMS error of potentials and forces, see :mod:`.truncation`, that the
        sum over k-vectors or mesh may make; 0 selects the k-vectors and the slab vacuum
        of the reference code
    :param memory: bytes that the working arrays of one step may take
    :param method: how periodic systems are summed: ``ewald`` (:mod:`.kspace`), ``mesh``
        (:mod:`.mesh`, for large systems), or ``auto``: the faster one
    """

    def __init__(
        self,
        cutoff: float,
        smearing: float,
        accuracy: float = 1e-6,
        memory: int = 2**29,
        method: str = "auto",
    ) -> None:
        super().__init__()
        if method not in ["auto", "ewald", "mesh"]:
            raise ValueError(f"method is '{method}', not 'auto', 'ewald' or 'mesh'")
        self.cutoff = cutoff
        self.smearing = smearing
        self.memory = memory
        reference = accuracy == 0.0
        self.slab_gap = REFERENCE_SLAB_GAP if reference else slab_gap(accuracy)
        self.reciprocal = ReciprocalSum(
            smearing,
            accuracy=1e-6 if reference else accuracy,
            reference_wavelength=cutoff / 8 if reference else 0.0,
            memory=memory,
        )
        self.mesh = MeshSum(smearing, 1e-6 if reference else accuracy, memory)
        self.method = "ewald" if reference else method

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
        return self.evaluate(
            graph, rows, distances, charges, self.plan(graph, charges.shape[1])
        )

    def plan(self, graph: Graph, num_columns: int) -> CoulombPlan:
        """All decisions that depend on numbers of atoms, cells and periodicity.

        Without gradients. Positions matter for the extent of slabs only: as long as that
        does not change much, a plan may be used again.

        :param num_columns: columns of charges
        :raises ValueError: see :meth:`forward`
        """
        positions, systems = graph.positions, graph.systems
        device = positions.device
        if positions.shape[0] == 0:
            return CoulombPlan([], [], systems)
        cells, num_periodic = checked_cells(
            positions, graph.cells, graph.pbc, systems, self.slab_gap
        )
        num_atoms = count_rows(systems, len(num_periodic)).cpu()
        counts: list[int] = num_atoms.tolist()
        starts: list[int] = (torch.cumsum(num_atoms, 0) - num_atoms).tolist()
        volumes: list[float] = cell_volumes(cells).tolist()
        radii = [
            self.reciprocal.radius(volume, count) for volume, count in zip(volumes, counts)
        ]
        sizes = self.reciprocal.box_sizes(cells, radii)
        methods = self.methods(cells, counts, sizes, num_periodic, num_columns)

        groups: list[SystemGroup] = []
        order = torch.empty(positions.shape[0], dtype=torch.int64)
        num_padded = 0
        for group in group_systems(counts, sizes, methods):
            atoms, real = padded_atoms(
                [starts[system] for system in group], [counts[system] for system in group]
            )
            order[atoms[real]] = num_padded + torch.nonzero(real.flatten()).squeeze(1)
            num_padded += atoms.numel()
            index, method = torch.tensor(group), methods[group[0]]
            size = [max([sizes[system][axis] for system in group]) for axis in range(3)]
            planes, bounds = torch.empty(0, 2), torch.empty(0, 7)
            if method == "mesh":
                size = self.mesh.shape(cells[group[0]], counts[group[0]])
            if method == "ewald":
                planes, bounds = self.reciprocal.select(
                    cells[index], [radii[system] for system in group], size
                )
            groups.append(
                SystemGroup(
                    method,
                    index.to(device),
                    atoms.to(device),
                    real.unsqueeze(2).to(device),
                    size,
                    planes.to(device),
                    bounds.to(device),
                )
            )
        return CoulombPlan(num_periodic, groups, order.to(device))

    def evaluate(
        self,
        graph: Graph,
        rows: Neighborhoods,
        distances: torch.Tensor,
        charges: torch.Tensor,
        plan: CoulombPlan,
    ) -> torch.Tensor:
        """Potentials, see :meth:`forward`, with a plan that was made before."""
        positions, pbc, systems = graph.positions, graph.pbc, graph.systems
        if positions.shape[0] == 0:
            return charges
        cells = closed_cells(
            positions, graph.cells, pbc, systems, self.slab_gap, plan.num_periodic
        )
        potentials = self._beyond_cutoff(positions, charges, cells, plan)
        if max(plan.num_periodic) > 0:
            volumes = cell_volumes(cells)
            is_periodic = pbc.any(1)[systems]
            near = within_cutoff(
                charges, rows, distances, is_periodic, self.cutoff, self.smearing
            )
            corrections = self_and_background(charges, systems, volumes, self.smearing)
            if 2 in plan.num_periodic:
                corrections = corrections + slab_correction(
                    positions, charges, cells, pbc, systems, volumes
                )
            if 0 in plan.num_periodic:
                corrections = corrections * is_periodic.unsqueeze(1)
            potentials = potentials + near + corrections
        return 0.5 * potentials

    def methods(
        self,
        cells: torch.Tensor,
        counts: list[int],
        sizes: list[list[int]],
        num_periodic: list[int],
        num_columns: int,
    ) -> list[str]:
        """How to sum each system: ``open``, ``ewald`` or ``mesh``.

        The time of Ewald sums is that of matrix products of all atoms and k-vectors, of
        which a part does not grow with the columns of charges; the time on a mesh is
        that of moving blocks of the mesh through the memory, for each column.

        :param counts: atoms of each system
        :param sizes: largest k-vector index of each system along each axis
        :param num_periodic: number of periodic directions of each system
        :param num_columns: columns of charges
        """
        methods: list[str] = []
        for system, count in enumerate(counts):
            size = sizes[system]
            method = "open" if num_periodic[system] == 0 else self.method
            if method == "auto":
                box = box_volume(size)
                method = "ewald"
                # Small boxes need no closer look.
                if count * box > 10_000_000:
                    points = self.mesh.num_points(self.mesh.shape(cells[system], count))
                    # Measured times of one atom and k-vector, and of one point
                    ewald = count * box * (4 + num_columns)
                    mesh = 130 * points * (0.6 + num_columns)
                    method = "mesh" if ewald > mesh else "ewald"
            methods.append(method)
        return methods

    def _beyond_cutoff(
        self,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cells: torch.Tensor,
        plan: CoulombPlan,
    ) -> torch.Tensor:
        """Smooth part of the periodic systems, all pairs of the open ones."""
        parts: list[torch.Tensor] = []
        for group in plan.groups:
            potentials = self._potentials_of_group(
                take_rows(positions, group.atoms),
                take_rows(charges, group.atoms) * group.real,
                cells.index_select(0, group.systems),
                group,
            )
            parts.append(potentials.flatten(0, 1))
        return torch.cat(parts).index_select(0, plan.order)

    def _potentials_of_group(
        self,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cells: torch.Tensor,
        group: SystemGroup,
    ) -> torch.Tensor:
        """``[B, N, 3], [B, N, C], [B, 3, 3] -> [B, N, C]``"""
        if group.method == "open":
            return open_potentials(positions, charges, self.memory)
        if group.method == "mesh":
            return self.mesh(positions[0], charges[0], cells[0], group.size).unsqueeze(0)
        return self.reciprocal(
            positions, charges, cells, group.planes, group.bounds, group.size[2]
        )
