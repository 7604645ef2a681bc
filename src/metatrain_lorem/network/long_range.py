"""Messages over any distance: charges, their potentials, and the way back."""

import torch

from ..coulomb.plan import CoulombPlan
from ..coulomb.real_space import Pairs
from ..coulomb.solver import CoulombSolver
from ..graph import Graph, Neighborhoods
from .charges import EquivariantCharges
from .spherical import DegreeNorms
from .tensor_product import DegreeLinear, TensorProduct
from .update import Update


class LongRange(torch.nn.Module):
    r"""Long-range block of LOREM (arXiv:2507.19382, "Equivariant long-range messages").

    .. math::

        q_i &= \mathrm{charges}(h_i, x_i), \quad v = \mathrm{Coulomb}(q) \\
        y_i &= \mathrm{TensorProduct}(W v_i^{lm}, x_i) \\
        h_i &\leftarrow \mathrm{Update}(h_i, [v_i^0, \mathrm{norms}(y_i)])

    :param solver: of the potentials
    :param num_features: number of scalar features ``d``
    :param max_degree: highest degree ``L`` of the spherical features
    :param num_spherical_features: channels ``c`` of the spherical features
    :param max_degree_lr: highest degree of charges and potentials
    :param smooth_norms: see :class:`.DegreeNorms`
    """

    def __init__(
        self,
        solver: CoulombSolver,
        num_features: int,
        max_degree: int,
        num_spherical_features: int,
        max_degree_lr: int,
        smooth_norms: bool,
    ) -> None:
        super().__init__()
        self.charges = EquivariantCharges(
            num_features, max_degree, num_spherical_features, max_degree_lr
        )
        self.coulomb = solver
        self.expand = DegreeLinear(max_degree_lr, 1, num_spherical_features)
        self.product = TensorProduct(
            max_degree_lr, max_degree, max_degree, num_spherical_features
        )
        self.norms = DegreeNorms(max_degree, smooth_norms)
        self.update = Update(num_features, 1 + (max_degree + 1) * num_spherical_features)

    def plan(self, graph: Graph) -> CoulombPlan:
        """How to sum the potentials of a graph, see :meth:`.CoulombSolver.plan`."""
        return self.coulomb.plan(
            graph.positions,
            graph.cells,
            graph.pbc,
            graph.systems,
            1 + self.expand.degrees.shape[0],
        )

    def forward(
        self,
        graph: Graph,
        rows: Neighborhoods,
        distances: torch.Tensor,
        scalars: torch.Tensor,
        spherical: torch.Tensor,
        plan: CoulombPlan,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Exchange charges and update the scalar features.

        :param distances: lengths of the pair vectors, ``[G, W]``
        :param scalars: ``h [N, d]``
        :param spherical: ``x [N, M, c]``
        :param plan: result of :meth:`plan`
        :return: new ``h [N, d]``, products ``y [N, M, c]``, charges and potentials ``[N,
            1 + (L_lr + 1)**2]``
        """
        charges = self.charges(scalars, spherical)
        pairs = Pairs(rows.centers, rows.neighbors, distances)
        potentials = self.coulomb.evaluate(
            graph.positions, charges, graph.cells, pairs, plan
        )
        products = self.product(self.expand(potentials[:, 1:].unsqueeze(2)), spherical)
        inputs = torch.cat([potentials[:, :1], self.norms(products).flatten(1)], dim=1)
        return self.update(scalars, inputs), products, charges, potentials
