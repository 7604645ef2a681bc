"""Coulomb potentials of a batch of systems, in any periodicity."""

from typing import Optional

import torch

from ..ops.budget import MEMORY
from .all_pairs import not_too_close
from .batches import in_units, of_batch
from .cells import Cells, inverses_and_volumes
from .checks import check_accuracy, check_inputs, check_positive, check_smearing
from .kspace import ReciprocalSum
from .kvectors import KBox, KSphere
from .mesh import MeshSum
from .nearest_images import NearestImages
from .open_systems import OpenSum
from .periodicity import Lattices, checked_lattices, closed_cells
from .plan import CoulombPlan
from .planner import Planner
from .real_space import Pairs, self_and_background, sum_pairs
from .slab import slab_correction, slab_gap
from .splitting import CompactSplit, GaussianSplit


class CoulombSolver(torch.nn.Module):
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
    :param smearing: width :math:`\sigma` of Gaussian charges that split the sum, of which
        the real-space part then neglects a relative :math:`\mathrm{erfc}(r_c / \sqrt2
        \sigma)`. By default, charges are smeared such that nothing is neglected, and
        nothing jumps where pairs cross the cutoff (:class:`.CompactSplit`)
    :param accuracy: of the reciprocal part, as defined in :mod:`.truncation`
    :param memory: bytes that the working arrays of one step may take
    :param method: how periodic systems are summed: ``ewald`` (:mod:`.kspace`), ``mesh``
        (:mod:`.mesh`, for large systems), or ``auto``: the faster one
    :param kvectors: those of Ewald sums (:mod:`.kvectors`); by default the sphere for
        ``accuracy``
    :param vacuum: of slabs, in units of the longer lattice vector; by default what
        ``accuracy`` needs (:func:`.slab_gap`)
    :raises ValueError: for arguments that make no sense
    """

    def __init__(
        self,
        cutoff: float,
        smearing: float | None = None,
        accuracy: float = 1e-6,
        memory: int = MEMORY,
        method: str = "auto",
        *,
        kvectors: KSphere | KBox | None = None,
        vacuum: float | None = None,
    ) -> None:
        super().__init__()
        check_positive("cutoff", cutoff)
        check_accuracy(accuracy)
        check_positive("memory", memory)
        if method not in ["auto", "ewald", "mesh"]:
            raise ValueError(f"`method` must be 'auto', 'ewald' or 'mesh', got '{method}'")
        self.cutoff = float(cutoff)
        if smearing is None:
            self.split = CompactSplit(self.cutoff, accuracy)
        else:
            check_smearing(smearing, cutoff)
            self.split = GaussianSplit(self.cutoff, float(smearing), accuracy)
        self.memory = memory
        self.vacuum = slab_gap(accuracy) if vacuum is None else float(vacuum)
        check_positive("vacuum", self.vacuum)
        if kvectors is None:
            kvectors = KSphere(self.split)
        self.planner = Planner(self.split, kvectors, method)
        self.reciprocal = ReciprocalSum(self.split, memory)
        self.mesh = MeshSum(self.split, memory)
        self.nearest_images = NearestImages(self.split, memory)
        self.open = OpenSum(memory)

    def extra_repr(self) -> str:
        """Settings."""
        memory = f"{self.memory / 2**20:g} MiB"
        return f"cutoff={self.cutoff:g}, vacuum={self.vacuum:g}, memory={memory}"

    def forward(
        self,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cells: torch.Tensor,
        pbc: torch.Tensor,
        systems: torch.Tensor,
        pairs: Pairs,
    ) -> torch.Tensor:
        """Potentials at the atoms.

        :param positions: ``[N, 3]``, of one system after the other
        :param charges: ``[N, C]``; each column is a problem of its own
        :param cells: lattice vectors as rows, ``[S, 3, 3]``; those of open directions
            are ignored
        :param pbc: periodic directions, ``[S, 3]`` booleans
        :param systems: index of the system of each atom, ``[N]``, ascending
        :param pairs: all directed pairs of periodic systems within the cutoff; those of
            open systems are not needed
        :return: ``[N, C]``
        :raises ValueError: for a system that is periodic in one direction, or whose
            lattice vectors span no volume, and for inputs of a wrong shape or type
        """
        check_inputs(positions, charges, cells, pbc, systems, pairs)
        plan = self.plan(positions, cells, pbc, systems, charges.shape[1])
        return self.evaluate(positions, charges, cells, pairs, plan)

    def plan(
        self,
        positions: torch.Tensor,
        cells: torch.Tensor,
        pbc: torch.Tensor,
        systems: torch.Tensor,
        num_columns: int,
    ) -> CoulombPlan:
        """All decisions that depend on numbers of atoms, cells and periodicity.

        :param num_columns: columns of charges
        :raises ValueError: see :meth:`forward`
        """
        if positions.shape[0] == 0:
            none = torch.empty(0, 3, 3, dtype=torch.float64)
            lattices = Lattices([], [], [], [], none, none)
        else:
            lattices = checked_lattices(positions, cells, pbc, systems, self.vacuum)
        return self.planner(lattices, pbc, systems, num_columns)

    def evaluate(
        self,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cells: torch.Tensor,
        pairs: Pairs,
        plan: CoulombPlan,
    ) -> torch.Tensor:
        """Potentials, see :meth:`forward`, with a plan that was made before.

        Nothing is checked, and nothing is read back from the device (one number for each
        system on a mesh).
        """
        if positions.shape[0] == 0:
            return charges
        pbc, systems, num_periodic = plan.pbc, plan.systems, plan.lattices.num_periodic
        cells = closed_cells(positions, cells, pbc, systems, self.vacuum, num_periodic)
        closed = Cells(cells, *inverses_and_volumes(cells))
        potentials = self.beyond_cutoff(positions, charges, closed, plan)
        if plan.num_dense > 0:
            kernel = self.split.pairs(not_too_close(pairs.distances))
            others = sum_pairs(charges, pairs, kernel)
            others = others + self_and_background(
                *(charges, systems, closed.volumes),
                self.split.smearing,
                self.split.self_potential,
            )
            if plan.num_dense < len(num_periodic):
                others = others * plan.dense[systems].unsqueeze(1)
            potentials = potentials + others
        if 2 in num_periodic:
            potentials = potentials + slab_correction(
                positions, charges, cells, pbc, systems, closed.volumes
            )
        return 0.5 * potentials

    def beyond_cutoff(
        self,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cells: Cells,
        plan: CoulombPlan,
    ) -> torch.Tensor:
        """Smooth part of dense periodic systems, all of sparse and open ones.

        :param cells: closed cells
        :return: not halved, ``[N, C]``
        """
        parts: list[torch.Tensor] = []
        for batch in plan.open:
            x, q = of_batch(positions, charges, batch)
            parts.append(self.open(x, q).flatten(0, 1))
        for ewald in plan.ewald:
            x, q = of_batch(positions, charges, ewald.batch)
            x, lattices = in_units(x, cells, ewald.batch, ewald.units)
            waves = self.reciprocal(x, q, lattices, ewald.kvectors)
            waves = self.with_all_pairs(waves, x, q, lattices, ewald.units)
            parts.append(waves.flatten(0, 1))
        for mesh in plan.mesh:
            x, q = of_batch(positions, charges, mesh.batch)
            x, lattices = in_units(x, cells, mesh.batch, mesh.units)
            waves = self.mesh(x[0], q[0], lattices.vectors[0], mesh.shape).unsqueeze(0)
            waves = self.with_all_pairs(waves, x, q, lattices, mesh.units)
            parts.append(waves.flatten(0, 1))
        order = plan.order
        return parts[0] if order is None else torch.cat(parts).index_select(0, order)

    def with_all_pairs(
        self,
        waves: torch.Tensor,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cells: Cells,
        units: Optional[torch.Tensor],
    ) -> torch.Tensor:
        """Complete the potentials of sparse systems (:mod:`.sparse`).

        :param waves: their smooth part, ``[B, N, C]``
        :param positions: as all others in units of length, ``[B, N, 3]``
        :param units: these units, or none for dense systems, which stay as they are
        """
        if units is None:
            return waves
        num_systems, num_atoms = charges.shape[0], charges.shape[1]
        systems = torch.arange(num_systems, device=charges.device).unsqueeze(1)
        others = self_and_background(
            *(charges.flatten(0, 1), systems.expand(-1, num_atoms).flatten()),
            *(cells.volumes, self.split.smearing, self.split.self_potential),
        )
        pairs = self.nearest_images(positions, charges, cells)
        return (waves + pairs + others.reshape(waves.shape)) / units.to(waves.dtype)
