"""Density of the neighbors of one species around each atom."""

import torch

from ..ops.chunks import chunk_size, cut, join
from .radial import RadialBasis
from .spherical import SphericalHarmonics


class NeighborDensity(torch.nn.Module):
    r"""Sums of radial functions times harmonics over the neighbors of one species.

    .. math::

        \rho_{iz}^{lm,k} = \sum_{j \in z} Y_{lm}(\hat r_{ij}) R_k(r_{ij})

    :param radial: radial functions
    :param harmonics: spherical harmonics
    """

    def __init__(self, radial: RadialBasis, harmonics: SphericalHarmonics) -> None:
        super().__init__()
        self.radial = radial
        self.harmonics = harmonics
        num_components = (harmonics.max_degree + 1) ** 2
        self.num_entries = num_components * radial.num_radial  # M K
        # Working arrays of a pair: harmonics with their two factors, radial functions
        # with their exponents
        self.pair_width = 3 * num_components + 2 * radial.num_radial

    def forward(self, vectors: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
        """Densities of some neighborhoods.

        :param vectors: from centers to neighbors, ``[G, W, 3]``
        :param distances: their lengths ``[G, W]``
        :return: ``[G, M, K]``
        """
        size = chunk_size(distances, distances.shape[1] * self.pair_width)
        densities: list[torch.Tensor] = []
        for of_vectors, of_distances in zip(cut(vectors, size), cut(distances, size)):
            radial = self.radial(of_distances)  # [chunk, K, W]
            harmonics = self.harmonics(of_vectors, of_distances)  # [chunk, M, W]
            densities.append(torch.bmm(harmonics, radial.transpose(1, 2)))
        return join(densities)
