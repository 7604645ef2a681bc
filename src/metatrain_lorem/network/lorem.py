"""The LOREM network on plain tensors: from a :class:`Graph` to energies of atoms.

This module and what it imports need torch and e3nn only.
"""

from typing import NamedTuple, Optional

import torch

from ..coulomb.plan import CoulombPlan
from ..coulomb.solver import CoulombSolver
from ..graph import Graph, Neighborhoods, gather_neighborhoods, neighbor_vectors
from ..ops.chunks import chunk_size, cut, join
from ..ops.rows import sum_rows
from ..ops.safe_norm import safe_norm
from .density import SpeciesPairExpansion
from .layers import linear
from .long_range import LongRange
from .messages import Messages
from .radial import RadialBasis
from .spherical import DegreeNorms, SphericalHarmonics
from .tensor_product import TensorDense
from .update import Update


class Plan(NamedTuple):
    """How to evaluate a graph: shapes and indices, without gradients."""

    rows: Neighborhoods
    coulomb: Optional[CoulombPlan]  # None without long range


class Nodes(NamedTuple):
    """What the network knows of the ``N`` atoms.

    Scalar features are kept from each stage: after the sum over neighbors, after each
    message-passing step, and after the long-range block. A target is the sum of one
    readout per stage.
    """

    scalars: list[torch.Tensor]  # each [N, d]
    spherical: list[torch.Tensor]  # each [N, M, c]
    charges: torch.Tensor  # [N, 1 + (L_lr + 1)**2], or [N, 0] without long range
    potentials: torch.Tensor  # like charges


class Network(torch.nn.Module):
    """LOREM without its readouts (arXiv:2507.19382).

    :param cutoff: radius of the neighborhoods ``r_c``
    :param max_degree: highest degree ``L`` of the spherical features
    :param num_features: number of scalar features ``d``
    :param num_spherical_features: channels ``c`` of the spherical features
    :param num_radial: number of radial functions ``K``
    :param num_species_features: width of the species embedding
    :param num_message_passing: number of short-range message-passing steps
    :param equivariant_message_passing: whether they exchange spherical features
    :param initialize_node_features: whether scalar features start from the species of
        the atom, or from zero
    :param smooth_norms: whether norms of degree 0 keep their sign, see
        :class:`.DegreeNorms`
    :param long_range: whether atoms exchange charges
    :param max_degree_lr: highest degree of the charges
    :param solver: of the potentials of the charges; by default with Gaussian charges of
        width ``cutoff / 4``
    :param binomial_errors: see :class:`.RadialBasis`
    :param num_species: rows of the species embedding, for ``Z = 0 ... num_species - 1``
    """

    def __init__(
        self,
        *,
        cutoff: float = 5.0,
        max_degree: int = 6,
        num_features: int = 128,
        num_spherical_features: int = 8,
        num_radial: int = 32,
        num_species_features: int = 8,
        num_message_passing: int = 0,
        equivariant_message_passing: bool = True,
        initialize_node_features: bool = True,
        smooth_norms: bool = False,
        long_range: bool = True,
        max_degree_lr: int = 2,
        solver: CoulombSolver | None = None,
        binomial_errors: torch.Tensor | None = None,
        num_species: int = 100,
    ) -> None:
        super().__init__()
        d, c = num_features, num_spherical_features
        self.cutoff = cutoff
        self.max_degree = max_degree
        self.num_features = d
        self.num_spherical_features = c
        self.num_stages = 1 + num_message_passing + int(long_range)

        self.radial = RadialBasis(cutoff, num_radial, binomial_errors)
        self.harmonics = SphericalHarmonics(max_degree)
        self.species = torch.nn.Embedding(num_species, num_species_features)
        torch.nn.init.normal_(self.species.weight, std=num_species_features**-0.5)
        self.initial = linear(num_species_features, d) if initialize_node_features else None
        self.expansion = SpeciesPairExpansion(
            num_species_features, num_radial, d, max_degree, c
        )
        self.density_update = Update(d, d)
        self.couple = TensorDense(max_degree, max_degree, c, c)
        self.norms = DegreeNorms(max_degree, smooth_norms)
        self.norms_update = Update(d, (max_degree + 1) * c)
        self.messages = torch.nn.ModuleList(
            Messages(
                d, num_radial, max_degree, c, equivariant_message_passing, smooth_norms
            )
            for _ in range(num_message_passing)
        )
        self.long_range = (
            LongRange(
                CoulombSolver(cutoff, cutoff / 4) if solver is None else solver,
                d,
                max_degree,
                c,
                max_degree_lr,
                smooth_norms,
            )
            if long_range
            else None
        )

    def forward(self, graph: Graph) -> Nodes:
        """Features of the atoms; charges and potentials if the long range is on."""
        return self.evaluate(graph, self.plan(graph))

    def plan(self, graph: Graph) -> Plan:
        """Everything whose shape depends on data: neighborhoods and k-vectors.

        The rest, :meth:`evaluate`, can be compiled or captured as a CUDA graph. A plan
        holds for as long as the pairs of the graph are a superset of those within the
        cutoff.
        """
        coulomb: Optional[CoulombPlan] = None
        if self.long_range is not None:
            coulomb = self.long_range.plan(graph)
        return Plan(gather_neighborhoods(graph), coulomb)

    def evaluate(self, graph: Graph, plan: Plan) -> Nodes:
        """Features of the atoms, with a plan that was made before."""
        rows = plan.rows
        vectors = neighbor_vectors(graph, rows, self.cutoff)
        distances = safe_norm(vectors)  # [G, W]

        # Sums over the neighbors
        inputs, spherical = self.sum_neighbors(rows, vectors, distances)
        num_atoms = graph.positions.shape[0]
        inputs = sum_rows(inputs, rows.centers, num_atoms)  # [N, d]
        spherical = sum_rows(spherical, rows.centers, num_atoms)  # [N, M, c]

        # Features of the atoms
        scalars = torch.zeros_like(inputs)
        if self.initial is not None:
            scalars = self.initial(self.species(graph.species))
        scalars = self.density_update(scalars, inputs)
        spherical = self.couple(spherical)
        scalars = self.norms_update(scalars, self.norms(spherical).flatten(1))
        stages, spherical_stages = [scalars], [spherical]

        # Messages within the cutoff
        if len(self.messages) > 0:
            radial = self.radial(distances)  # [G, K, W]
            harmonics = self.harmonics(vectors, distances)  # [G, M, W]
            for message in self.messages:
                scalars, spherical = message(rows, radial, harmonics, scalars, spherical)
                stages.append(scalars)
                spherical_stages.append(spherical)

        # Messages over any distance
        charges = potentials = scalars.new_zeros(num_atoms, 0)
        coulomb = plan.coulomb
        if self.long_range is not None and coulomb is not None:
            scalars, products, charges, potentials = self.long_range(
                graph, rows, distances, scalars, spherical, coulomb
            )
            stages.append(scalars)
            spherical_stages.append(products)
        return Nodes(stages, spherical_stages, charges, potentials)

    def sum_neighbors(
        self, rows: Neighborhoods, vectors: torch.Tensor, distances: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums over the neighbors of one species, by way of their density.

        :param vectors: from centers to neighbors, ``[G, W, 3]``
        :param distances: their lengths ``[G, W]``
        :return: ``u [G, d]`` and ``x [G, M, c]``, see :class:`.SpeciesPairExpansion`
        """
        scalar_table, table = self.expansion.tables(rows.species_pairs, self.species.weight)
        sizes = [2 * degree + 1 for degree in range(self.max_degree + 1)]
        size = chunk_size(distances, sum(sizes) * self.expansion.num_radial, 1_000_000)
        sums: list[torch.Tensor] = []
        spherical: list[torch.Tensor] = []
        for of_vectors, of_distances, pairs in zip(
            cut(vectors, size), cut(distances, size), cut(rows.pair_of_row, size)
        ):
            density = self.neighbor_density(of_vectors, of_distances)
            degrees = torch.split(density, sizes, 1)
            sums.append(degrees[0].squeeze(1))  # Y_00 = 1
            spherical.append(self.expansion.spherical(degrees, table, pairs))
        return (
            self.expansion.scalars(join(sums), scalar_table, rows),
            join(spherical),
        )

    def neighbor_density(
        self, vectors: torch.Tensor, distances: torch.Tensor
    ) -> torch.Tensor:
        r"""Density of the neighbors of one species, on radial functions and harmonics.

        .. math::

            \rho_{iz}^{lm,k} = \sum_{j \in z} Y_{lm}(\hat r_{ij}) R_k(r_{ij})

        :return: ``[G, M, K]``
        """
        size = chunk_size(distances, distances.shape[1], 8_400)
        parts: list[torch.Tensor] = []
        for of_vectors, of_distances in zip(cut(vectors, size), cut(distances, size)):
            radial = self.radial(of_distances)  # [rows, K, W]
            harmonics = self.harmonics(of_vectors, of_distances)  # [rows, M, W]
            parts.append(torch.bmm(harmonics, radial.transpose(1, 2)))
        return join(parts)
