"""Messages over any distance: charges, their potentials, and the way back."""

import torch

from ..coulomb.periodicity import near_origin
from ..coulomb.plan import CoulombPlan
from ..coulomb.real_space import Pairs
from ..coulomb.solver import CoulombSolver
from ..graph import Geometry, Graph, states_of
from .charges import EquivariantCharges, with_total_charge
from .degree_linear import DegreeLinear
from .features import Features, Sizes
from .tensor_product import TensorProduct
from .update import Update


class LongRange(torch.nn.Module):
    r"""Long-range stage of LOREM (arXiv:2507.19382, "Equivariant long-range messages").

    .. math::

        q_i &= \mathrm{charges}(h_i, x_i), \quad v = \mathrm{Coulomb}(q) \\
        y_i &= \mathrm{TensorProduct}(W v_i^{lm}, x_i) \\
        h_i &\leftarrow \mathrm{Update}(h_i, [v_i^0, \mathrm{norms}(y_i)])

    :param sizes: sizes of the features
    :param norms: invariants of the spherical features, see :mod:`.norms`
    :param max_degree_lr: highest degree of charges and potentials
    :param solver: of the potentials
    :param fix_total_charge: whether scalar charges add up to the charge of their system
    """

    def __init__(
        self,
        sizes: Sizes,
        norms: torch.nn.Module,
        max_degree_lr: int,
        solver: CoulombSolver,
        fix_total_charge: bool = False,
    ) -> None:
        super().__init__()
        c, max_degree = sizes.num_spherical_features, sizes.max_degree
        self.charges = EquivariantCharges(sizes, max_degree_lr)
        self.coulomb = solver
        self.fix_total_charge = fix_total_charge
        self.expand = DegreeLinear(max_degree_lr, 1, c)
        self.product = TensorProduct(max_degree_lr, max_degree, max_degree, c)
        self.norms = norms
        self.update = Update(sizes.num_features, 1 + sizes.num_invariants)

    def plan(self, graph: Graph) -> CoulombPlan:
        """How to sum the potentials of a graph, see :meth:`.CoulombSolver.plan`."""
        return self.coulomb.plan(
            graph.positions,
            graph.cells,
            graph.pbc,
            graph.systems,
            self.charges.num_columns,
        )

    def forward(
        self, geometry: Geometry, features: Features, plan: CoulombPlan
    ) -> tuple[Features, torch.Tensor, torch.Tensor]:
        """Exchange charges and update the features.

        :param geometry: neighborhoods of the atoms
        :param features: features of the atoms
        :param plan: result of :meth:`plan`
        :return: new ``h [N, d]`` and the products ``y [N, M, c]``; charges and potentials
            ``[N, 1 + (L_lr + 1)**2]``
        """
        graph, neighborhoods = geometry.graph, geometry.neighborhoods
        charges = self.charges(features.scalars, features.spherical)
        if self.fix_total_charge:
            charges = with_total_charge(charges, states_of(graph)[:, 0], graph.systems)
        pairs = Pairs(neighborhoods.centers, neighborhoods.neighbors, geometry.distances)
        positions, cells = near_origin(
            graph.positions,
            graph.cells,
            plan.pbc,
            plan.systems,
            plan.lattices,
            charges.dtype,
        )
        potentials = self.coulomb.evaluate(positions, charges, cells, pairs, plan)
        of_scalars, of_spherical = torch.split(
            potentials, [1, self.charges.num_columns - 1], 1
        )
        expanded = self.expand(of_spherical.unsqueeze(2))
        products = self.product(expanded, features.spherical)
        scalars = self._updated(features.scalars, of_scalars, products)
        return Features(scalars, products), charges, potentials

    def without_potentials(self, features: Features) -> Features:
        """The new features where all potentials are zero."""
        scalars, products = features.scalars, torch.zeros_like(features.spherical)
        potentials = torch.zeros_like(scalars[:, :1])
        return Features(self._updated(scalars, potentials, products), products)

    def _updated(
        self, scalars: torch.Tensor, potentials: torch.Tensor, products: torch.Tensor
    ) -> torch.Tensor:
        """``[N, d], [N, 1], [N, M, c] -> [N, d]``"""
        inputs = torch.cat([potentials, self.norms(products).flatten(1)], dim=1)
        return self.update(scalars, inputs)
