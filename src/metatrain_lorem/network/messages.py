"""Short-range messages between neighbors (optional)."""

import torch

from ..graph import Geometry, Neighborhoods
from ..ops.chunks import chunk_size, cut, join
from ..ops.rows import sum_rows, take_rows
from .degree_linear import DegreeLinear
from .features import Features, Sizes
from .layers import linear, mlp
from .radial import RadialBasis
from .spherical import SphericalHarmonics, degrees_of_components
from .tensor_product import TensorProduct
from .update import Update


class PairCoefficients(torch.nn.Module):
    r"""Sums of :math:`s_{ij} = \sum_k T_k(h_i, h_j) R_k(r_{ij})` over neighbors.

    :math:`T` is a neural network with one hidden layer, whose first layer splits into a
    part of the center and a part of the neighbor. As :math:`s` is linear in the outer
    product of hidden layer and radial functions, the latter is summed over the neighbors
    before the large second layer is applied, once per atom instead of once per pair.

    :param num_features: number of scalar features ``d``
    :param num_radial: number of radial functions ``K``
    """

    def __init__(self, num_features: int, num_radial: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.num_radial = num_radial
        self.network = mlp([2 * num_features, num_features, num_radial * num_features])

    def hidden(self, scalars: torch.Tensor, neighborhoods: Neighborhoods) -> torch.Tensor:
        """Hidden layer of the pairs, ``[G, W, d + 1]``, with a last entry of one."""
        first = self.network[0]
        center, neighbor = torch.chunk(first.weight, 2, dim=1)
        of_center = take_rows(scalars @ center.t() + first.bias, neighborhoods.centers)
        of_neighbor = take_rows(scalars @ neighbor.t(), neighborhoods.neighbors)
        hidden = torch.nn.functional.silu(of_center.unsqueeze(1) + of_neighbor)
        return torch.nn.functional.pad(hidden, [0, 1], value=1.0)

    def second_layer(self) -> torch.Tensor:
        """Weights of the second layer and its bias, ``[K, d, d + 1]``."""
        second = self.network[2]
        table = torch.cat([second.weight, second.bias.unsqueeze(1)], dim=1)
        return table.reshape(self.num_radial, self.num_features, -1)


class Messages(torch.nn.Module):
    r"""One step of message passing, a stage of LOREM.

    .. math::

        h_i &\leftarrow \mathrm{Update}\left(h_i, \sum_j W s_{ij}\right), \quad
        m_i = \sum_j \mathrm{TensorProduct}((V_l s_{ij}) Y_{lm}(\hat r_{ij}), x_j) \\
        x_i &\leftarrow \mathrm{TensorProduct}(A x_i, B m_i), \quad
        h_i \leftarrow \mathrm{Update}(h_i, \mathrm{norms}(x_i))

    with pair features :math:`s_{ij}` of both atoms' ``h`` (arXiv:2507.19382, "Message
    passing"). The second line of equations, on spherical features, is optional.

    :param sizes: sizes of the features
    :param radial: radial functions
    :param harmonics: spherical harmonics
    :param norms: invariants of the spherical features, see :mod:`.norms`
    :param equivariant: whether spherical features are exchanged, too
    """

    def __init__(
        self,
        sizes: Sizes,
        radial: RadialBasis,
        harmonics: SphericalHarmonics,
        norms: torch.nn.Module,
        equivariant: bool,
    ) -> None:
        super().__init__()
        d = sizes.num_features
        self.radial = radial
        self.harmonics = harmonics
        self.coefficients = PairCoefficients(d, radial.num_radial)
        self.to_scalar = linear(d, d, bias=False)
        self.update = Update(d, d)
        self.spherical = SphericalMessages(sizes, norms) if equivariant else None

    def forward(self, geometry: Geometry, features: Features) -> Features:
        """New features of the atoms, ``h [N, d]`` and ``x [N, M, c]``."""
        neighborhoods = geometry.neighborhoods
        radial = self.radial(geometry.distances)  # [G, K, W], zero in empty slots
        hidden = self.coefficients.hidden(features.scalars, neighborhoods)  # [G, W, d + 1]
        table = self.coefficients.second_layer()  # [K, d, d + 1]
        sums = torch.bmm(radial, hidden).flatten(1)  # [G, K (d + 1)]
        sums = sums @ table.transpose(1, 2).flatten(0, 1)  # [G, d]
        sums = sum_rows(sums, neighborhoods.centers, features.scalars.shape[0])
        scalars = self.update(features.scalars, self.to_scalar(sums))
        features = Features(scalars, features.spherical)
        if self.spherical is not None:
            harmonics = self.harmonics(geometry.vectors, geometry.distances)  # [G, M, W]
            features = self.spherical(
                neighborhoods, radial, harmonics, hidden, table, features
            )
        return features

    def extra_repr(self) -> str:
        return f"equivariant={self.spherical is not None}"


class SphericalMessages(torch.nn.Module):
    """The spherical half of :class:`Messages`.

    The tensor product of a pair's filter and its neighbor's features is bilinear: outer
    products are summed over the neighbors, and coupled once per atom.

    :param sizes: sizes of the features
    :param norms: invariants of the spherical features, see :mod:`.norms`
    """

    def __init__(self, sizes: Sizes, norms: torch.nn.Module) -> None:
        super().__init__()
        degree, channels = sizes.max_degree, sizes.num_spherical_features
        self.num_channels = channels
        self.to_spherical = linear(sizes.num_features, sizes.num_invariants, bias=False)
        self.filter = DegreeLinear(degree, channels, channels)
        self.message_product = TensorProduct(degree, degree, degree, channels)
        self.own = DegreeLinear(degree, channels, channels)
        self.received = DegreeLinear(degree, channels, channels)
        self.product = TensorProduct(degree, degree, degree, channels)
        self.norms = norms
        self.update = Update(sizes.num_features, sizes.num_invariants)
        self.register_buffer("degrees", degrees_of_components(degree), persistent=False)

    def forward(
        self,
        neighborhoods: Neighborhoods,
        radial: torch.Tensor,
        harmonics: torch.Tensor,
        hidden: torch.Tensor,
        table: torch.Tensor,
        features: Features,
    ) -> Features:
        """New features of the atoms.

        :param radial: radial functions ``[G, K, W]``
        :param harmonics: spherical harmonics ``[G, M, W]``
        :param hidden: hidden layer of the pairs ``[G, W, d + 1]``
        :param table: second layer ``[K, d, d + 1]``
        :param features: ``h [N, d]``, new already, and ``x [N, M, c]``
        """
        # The linear maps that follow s_ij are folded into the table.
        to_filter = torch.einsum(
            "lco,lch->loh",
            self.filter.weight,
            self.to_spherical.weight.reshape(-1, self.num_channels, table.shape[1]),
        )  # [L + 1, c, d]
        folded = torch.einsum("loh,khe->kloe", to_filter, table)
        spherical = features.spherical
        outer = self._summed_products(
            neighborhoods, radial, harmonics, hidden, folded, spherical
        )
        messages = self.message_product.of_outer(outer)
        spherical = self.product(self.own(spherical), self.received(messages))
        scalars = self.update(features.scalars, self.norms(spherical).flatten(1))
        return Features(scalars, spherical)

    def _summed_products(
        self,
        neighborhoods: Neighborhoods,
        radial: torch.Tensor,
        harmonics: torch.Tensor,
        hidden: torch.Tensor,
        folded: torch.Tensor,
        spherical: torch.Tensor,
    ) -> torch.Tensor:
        """Sums over neighbors of filters times features, ``[N, c, M, M]``.

        :param folded: from hidden layer to filters, ``[K, L + 1, c, d + 1]``
        """
        table = folded.flatten(0, 2).t()  # [d + 1, K (L + 1) c]
        size = chunk_size(hidden, hidden.shape[1] * table.shape[1])
        neighbors = take_rows(spherical, neighborhoods.neighbors).permute(0, 3, 1, 2)
        outer: list[torch.Tensor] = []
        for of_radial, of_harmonics, of_hidden, of_neighbors in zip(
            cut(radial, size), cut(harmonics, size), cut(hidden, size), cut(neighbors, size)
        ):
            per_radial = (of_hidden @ table).unflatten(2, [of_radial.shape[1], -1])
            coefficients = (of_radial.transpose(1, 2).unsqueeze(2) @ per_radial).squeeze(2)
            coefficients = coefficients.unflatten(2, [-1, self.num_channels])
            coefficients = coefficients.permute(0, 3, 2, 1)  # [chunk, c, L + 1, W]
            filters = coefficients.index_select(2, self.degrees) * of_harmonics.unsqueeze(1)
            outer.append(filters @ of_neighbors)  # [chunk, c, M, W] @ [chunk, c, W, M]
        return sum_rows(join(outer), neighborhoods.centers, spherical.shape[0])
