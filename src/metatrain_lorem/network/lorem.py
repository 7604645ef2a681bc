"""The LOREM network on plain tensors: from a :class:`Graph` to features of atoms.

This module and what it imports need torch and e3nn only.
"""

from typing import Literal, NamedTuple, Optional

import torch

from ..coulomb.plan import CoulombPlan
from ..coulomb.solver import CoulombSolver
from ..graph import Graph, Neighborhoods, gather_neighborhoods, geometry_of, rounded
from .conditioning import Conditioning
from .features import Features, Sizes
from .long_range import LongRange
from .messages import Messages
from .norms import LONG_RANGE_WIDTH, SHORT_RANGE_WIDTH, NormKind, make_norms
from .radial import RadialBasis
from .short_range import ShortRange
from .spherical import SphericalHarmonics


class Plan(NamedTuple):
    """How to evaluate a graph: shapes and indices, without gradients."""

    neighborhoods: Neighborhoods
    coulomb: Optional[CoulombPlan]  # None without long range


class Nodes(NamedTuple):
    """What the network knows of the ``N`` atoms.

    Features are kept from each stage: after the sum over neighbors, after each
    message-passing step, and after the exchange of charges. A target is the sum of one
    readout per stage.
    """

    scalars: list[torch.Tensor]  # each [N, d]
    spherical: list[torch.Tensor]  # each [N, M, c]
    charges: torch.Tensor  # [N, 1 + (L_lr + 1)**2], or [N, 0] without long range
    potentials: torch.Tensor  # like charges


class Network(ShortRange):
    """LOREM without its readouts (arXiv:2507.19382).

    :param cutoff: radius of the neighborhoods ``r_c``
    :param max_degree: highest degree ``L`` of the spherical features
    :param num_features: number of scalar features ``d``
    :param num_spherical_features: channels ``c`` of the spherical features
    :param num_radial: number of radial functions ``K``
    :param radial_functions: ``smooth`` or ``paper``, see :class:`.RadialBasis`
    :param num_species_features: width of the species embedding
    :param num_message_passing: number of short-range message-passing steps
    :param equivariant_message_passing: whether they exchange spherical features
    :param initialize_node_features: whether scalar features start from the species of
        the atom, or from zero
    :param norms: invariants of the spherical features, see :func:`.make_norms`
    :param long_range: whether atoms exchange charges
    :param max_degree_lr: highest degree of the charges
    :param solver: of the potentials of the charges
    :param binomial_errors: see :class:`.RadialBasis`
    :param num_species: rows of the species embedding, for ``Z = 0 ... num_species - 1``
    :param system_conditioning: whether atoms know charge and spin of their system
    :param max_charge: see :class:`.Conditioning`
    :param max_spin_multiplicity: see there
    :param fix_total_charge: whether scalar charges add up to the charge of their system
    """

    def __init__(
        self,
        *,
        cutoff: float = 5.0,
        max_degree: int = 6,
        num_features: int = 128,
        num_spherical_features: int = 8,
        num_radial: int = 32,
        radial_functions: Literal["smooth", "paper"] = "smooth",
        num_species_features: int = 8,
        num_message_passing: int = 0,
        equivariant_message_passing: bool = True,
        initialize_node_features: bool = True,
        norms: NormKind = "smooth",
        long_range: bool = True,
        max_degree_lr: int = 2,
        solver: CoulombSolver | None = None,
        binomial_errors: torch.Tensor | None = None,
        num_species: int = 100,
        system_conditioning: bool = False,
        max_charge: int = 10,
        max_spin_multiplicity: int = 10,
        fix_total_charge: bool = False,
    ) -> None:
        sizes = Sizes(
            num_stages=1 + num_message_passing + int(long_range),
            num_features=num_features,
            num_spherical_features=num_spherical_features,
            max_degree=max_degree,
        )
        # Without parameters: all stages share them.
        num_dropped = 2 if radial_functions == "smooth" else 0
        radial = RadialBasis(cutoff, num_radial, num_dropped, binomial_errors)
        harmonics = SphericalHarmonics(max_degree)
        short_range_norms = make_norms(norms, max_degree, SHORT_RANGE_WIDTH)
        super().__init__(
            sizes,
            radial,
            harmonics,
            short_range_norms,
            num_species,
            num_species_features,
            initialize_node_features,
        )
        self.sizes = sizes
        self.cutoff = cutoff
        self.messages = torch.nn.ModuleList(
            Messages(
                sizes, radial, harmonics, short_range_norms, equivariant_message_passing
            )
            for _ in range(num_message_passing)
        )
        self.long_range = (
            LongRange(
                sizes,
                make_norms(norms, max_degree, LONG_RANGE_WIDTH),
                max_degree_lr,
                CoulombSolver(cutoff) if solver is None else solver,
                fix_total_charge,
            )
            if long_range
            else None
        )
        self.conditioning = (
            Conditioning(num_features, max_charge, max_spin_multiplicity)
            if system_conditioning
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
        """Features of the atoms, with a plan that was made before.

        Positions and cells may be float64 while the network is float32.
        """
        dtype = self.species.weight.dtype
        geometry = geometry_of(graph, plan.neighborhoods, self.cutoff)
        geometry = rounded(geometry, dtype)

        features = self.short_range(geometry)
        stages = [features]
        for message in self.messages:
            features = message(geometry, features)
            stages.append(features)
        none = geometry.distances.new_zeros(graph.positions.shape[0], 0)
        charges = potentials = none
        coulomb = plan.coulomb
        if self.long_range is not None and coulomb is not None:
            features, charges, potentials = self.long_range(geometry, features, coulomb)
            stages.append(features)

        return Nodes(
            [stage.scalars for stage in stages],
            [stage.spherical for stage in stages],
            charges,
            potentials,
        )

    def without_potentials(self, nodes: Nodes) -> Nodes:
        """What the atoms know if they do not feel any charges: a short-range model."""
        long_range = self.long_range
        if long_range is None:
            return nodes
        scalars, spherical = nodes.scalars[:-1], nodes.spherical[:-1]
        features = long_range.without_potentials(Features(scalars[-1], spherical[-1]))
        return Nodes(
            scalars + [features.scalars],
            spherical + [features.spherical],
            nodes.charges,
            torch.zeros_like(nodes.potentials),
        )

    def extra_repr(self) -> str:
        return f"cutoff={self.cutoff}, {self.sizes}"
