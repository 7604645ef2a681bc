"""First features of the atoms, from their species and their neighbors."""

import torch

from ..graph import Geometry, states_of
from ..ops.chunks import chunk_size, cut, join
from ..ops.rows import sum_rows
from .conditioning import Conditioning
from .density import NeighborDensity
from .expansion import SpeciesPairExpansion
from .features import Features, Sizes
from .layers import linear
from .radial import RadialBasis
from .spherical import SphericalHarmonics
from .tensor_product import TensorDense
from .update import Update


class ShortRange(torch.nn.Module):
    r"""Short-range stage of LOREM (arXiv:2507.19382, "Initial features").

    .. math::

        h_i &= W e_i + b, \quad h_i \leftarrow \mathrm{Update}(h_i, u_i) \\
        x_i &\leftarrow \mathrm{TensorDense}(x_i), \quad
        h_i \leftarrow \mathrm{Update}(h_i, \mathrm{norms}(x_i))

    with the sums over neighbors ``u`` and ``x`` of :class:`.SpeciesPairExpansion`.

    This stage is the base class of :class:`.Network` and not one of its modules, so that
    parameters have the names that they have in checkpoints.

    :param sizes: sizes of the features
    :param radial: radial functions
    :param harmonics: spherical harmonics
    :param norms: invariants of the spherical features, see :mod:`.norms`
    :param num_species: number of species, ``Z = 0 ... num_species - 1``
    :param num_species_features: width of the species embedding
    :param initialize: whether ``h`` starts from the species of the atom, or from zero
    """

    def __init__(
        self,
        sizes: Sizes,
        radial: RadialBasis,
        harmonics: SphericalHarmonics,
        norms: torch.nn.Module,
        num_species: int,
        num_species_features: int,
        initialize: bool,
    ) -> None:
        super().__init__()
        d, c = sizes.num_features, sizes.num_spherical_features
        max_degree = sizes.max_degree
        self.density = NeighborDensity(radial, harmonics)
        self.components = [2 * degree + 1 for degree in range(max_degree + 1)]
        self.species = torch.nn.Embedding(num_species, num_species_features)
        torch.nn.init.normal_(self.species.weight, std=num_species_features**-0.5)
        self.initial = linear(num_species_features, d) if initialize else None
        self.conditioning: Conditioning | None = None  # made by `Network`
        self.expansion = SpeciesPairExpansion(
            sizes, radial.num_radial, num_species_features
        )
        self.density_update = Update(d, d)
        self.couple = TensorDense(max_degree, max_degree, c, c)
        self.norms = norms
        self.norms_update = Update(d, sizes.num_invariants)

    def short_range(self, geometry: Geometry) -> Features:
        """Features of the atoms, ``h [N, d]`` and ``x [N, M, c]``."""
        inputs, spherical = self.sum_neighbors(geometry)
        scalars = torch.zeros_like(inputs)
        if self.initial is not None:
            scalars = self.initial(self.species(geometry.graph.species))
        if self.conditioning is not None:
            graph = geometry.graph
            scalars = scalars + self.conditioning(states_of(graph), graph.systems)
        scalars = self.density_update(scalars, inputs)
        spherical = self.couple(spherical)
        scalars = self.norms_update(scalars, self.norms(spherical).flatten(1))
        return Features(scalars, spherical)

    def sum_neighbors(self, geometry: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums over the neighbors, by way of their density.

        :return: ``u [N, d]`` and ``x [N, M, c]``, see :class:`.SpeciesPairExpansion`
        """
        neighborhoods = geometry.neighborhoods
        scalar_table, table = self.expansion.tables(
            neighborhoods.species_pairs, self.species.weight
        )
        size = chunk_size(geometry.distances, self.density.num_entries)
        sums: list[torch.Tensor] = []
        spherical: list[torch.Tensor] = []
        for vectors, distances, index in zip(
            cut(geometry.vectors, size),
            cut(geometry.distances, size),
            cut(neighborhoods.species_pair_index, size),
        ):
            density = torch.split(self.density(vectors, distances), self.components, 1)
            sums.append(density[0].squeeze(1))  # Y_00 = 1
            spherical.append(self.expansion.spherical(density, table, index))
        scalars = self.expansion.scalars(
            join(sums), scalar_table, neighborhoods.species_pair_counts
        )
        num_atoms, centers = geometry.graph.positions.shape[0], neighborhoods.centers
        return (
            sum_rows(scalars, centers, num_atoms),
            sum_rows(join(spherical), centers, num_atoms),
        )
