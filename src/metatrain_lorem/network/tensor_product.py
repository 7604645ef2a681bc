"""Linear maps and tensor products of spherical features ``[N, M, c]``."""

import torch

from ..ops.chunks import chunk_size, cut, join
from .clebsch_gordan import clebsch_gordan
from .layers import truncated_normal_
from .spherical import degrees_of_components


class DegreeLinear(torch.nn.Module):
    """A linear map of the channels, with weights of its own for each degree.

    :param max_degree: highest degree ``L``
    :param in_channels: channels of the input
    :param out_channels: channels of the output
    """

    def __init__(self, max_degree: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(
            truncated_normal_(
                torch.empty(max_degree + 1, in_channels, out_channels),
                1.0 / in_channels,
            )
        )
        self.register_buffer("degrees", degrees_of_components(max_degree), persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``[N, M, in_channels] -> [N, M, out_channels]``"""
        weight = self.weight.index_select(0, self.degrees)  # [M, in, out]
        features = features.transpose(0, 1).contiguous()  # [M, N, in]
        return torch.bmm(features, weight).transpose(0, 1)

    def extra_repr(self) -> str:
        num_degrees, in_channels, out_channels = self.weight.shape
        return f"max_degree={num_degrees - 1}, channels={in_channels} -> {out_channels}"


class TensorProduct(torch.nn.Module):
    r"""Channel-wise tensor product with one weight per coupling path and channel.

    .. math::

        z^{l_3 m_3}_c = \sum_{l_1 l_2} w^{l_1 l_2 l_3}_c \sum_{m_1 m_2}
        C^{l_3 m_3}_{l_1 m_1 l_2 m_2} a^{l_1 m_1}_c b^{l_2 m_2}_c

    over paths with even :math:`l_1 + l_2 + l_3`, so that no pseudotensor appears. Output
    degrees of one parity need two quarters of the outer product :math:`a \otimes b`, by
    the parities of its factors; each quarter is contracted by one dense matrix product
    per channel. That is faster than the sparse sum over the non-zero coefficients (1 in
    8), on CPU and GPU.

    :param max_degree1: highest degree of the first factor
    :param max_degree2: highest degree of the second factor
    :param max_degree3: highest degree of the product
    :param num_channels: number of channels ``c``
    :param pseudo: take the paths with odd :math:`l_1 + l_2 + l_3` instead, whose products
        of true tensors are pseudotensors
    """

    def __init__(
        self,
        max_degree1: int,
        max_degree2: int,
        max_degree3: int,
        num_channels: int,
        pseudo: bool = False,
    ) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.pseudo = pseudo
        max_degrees = [max_degree1, max_degree2, max_degree3]
        num_degrees = [degree + 1 for degree in max_degrees]
        degrees = [degrees_of_components(degree) for degree in max_degrees]
        even = [torch.nonzero(d % 2 == 0).flatten() for d in degrees]
        odd = [torch.nonzero(d % 2 == 1).flatten() for d in degrees]
        equal, opposite = (odd[2], even[2]) if pseudo else (even[2], odd[2])
        quarters = [
            (even[0], even[1], equal),
            (odd[0], odd[1], equal),
            (even[0], odd[1], opposite),
            (odd[0], even[1], opposite),
        ]
        self.table_shapes = [[len(i) * len(j), len(k)] for i, j, k in quarters]
        self.table_sizes = [num_pairs * outputs for num_pairs, outputs in self.table_shapes]

        # The tables of all quarters, one after the other: components of each entry.
        components = torch.cat([torch.cartesian_prod(*quarter) for quarter in quarters])
        coefficients = clebsch_gordan(*max_degrees)[components.unbind(1)]
        nonzero = torch.nonzero(coefficients).flatten()
        l1, l2, l3 = (d[components[nonzero, i]] for i, d in enumerate(degrees))
        buffers = {
            "nonzero": nonzero,
            "coefficients": coefficients[nonzero],
            "paths": (l1 * num_degrees[1] + l2) * num_degrees[2] + l3,
            "by_parity1": torch.cat([even[0], odd[0]]),
            "by_parity2": torch.cat([even[1], odd[1]]),
            "order": torch.argsort(torch.cat([equal, opposite])),
        }
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)
        self.parities1 = [len(even[0]), len(odd[0])]
        self.parities2 = [len(even[1]), len(odd[1])]

        self.weight = torch.nn.Parameter(
            _initial_path_weights(num_degrees, num_channels, pseudo)
        )
        self.register_buffer("fixed_tables", torch.empty(0), persistent=False)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """``[N, M1, c], [N, M2, c] -> [N, M3, c]``"""
        tables = self.tables()
        size = chunk_size(a, a.shape[1] * b.shape[1] * a.shape[2])
        products: list[torch.Tensor] = []
        for of_a, of_b in zip(cut(a, size), cut(b, size)):
            products.append(self._products(tables, of_a, of_b))
        return join(products)

    def _products(
        self, tables: list[torch.Tensor], a: torch.Tensor, b: torch.Tensor
    ) -> torch.Tensor:
        """Products with tables that were made before."""
        a = a.permute(2, 0, 1).index_select(2, self.by_parity1)  # [c, N, M1]
        b = b.permute(2, 0, 1).index_select(2, self.by_parity2)
        a_even, a_odd = torch.split(a, self.parities1, 2)
        b_even, b_odd = torch.split(b, self.parities2, 2)
        return self.contract(
            tables,
            [
                _outer(a_even, b_even),
                _outer(a_odd, b_odd),
                _outer(a_even, b_odd),
                _outer(a_odd, b_even),
            ],
        )

    def of_outer(self, outer: torch.Tensor) -> torch.Tensor:
        """Products of factors that come as outer products, or as sums of such.

        :param outer: ``[N, c, M1, M2]``
        :return: ``[N, M3, c]``
        """
        outer = outer.transpose(0, 1).index_select(2, self.by_parity1)
        outer = outer.index_select(3, self.by_parity2)  # [c, N, M1, M2]
        even, odd = torch.split(outer, self.parities1, 2)
        even_even, even_odd = torch.split(even, self.parities2, 3)
        odd_even, odd_odd = torch.split(odd, self.parities2, 3)
        outers = [even_even, odd_odd, even_odd, odd_even]
        return self.contract(self.tables(), [part.flatten(2) for part in outers])

    def tables(self) -> list[torch.Tensor]:
        """Coefficients times path weights.

        :return: one table for each quarter, see :meth:`contract`, ``[c, pairs, M3 of one
            parity]``
        """
        tables = self.fixed_tables
        if tables.numel() == 0:
            tables = self._flat_tables()
        parts = torch.split(tables, self.table_sizes, 1)
        return [part.unflatten(1, self.table_shapes[i]) for i, part in enumerate(parts)]

    def fix_tables(self) -> None:
        """Keep the tables from now on, for weights that do not change any more."""
        self.fixed_tables = self._flat_tables().detach()

    def _flat_tables(self) -> torch.Tensor:
        """``[c, entries of all tables]``; one entry in eight differs from zero."""
        weights = self.weight.flatten(0, 2).t().index_select(1, self.paths)
        tables = weights.new_zeros(self.num_channels, sum(self.table_sizes))
        values = weights * self.coefficients.to(weights.dtype)
        return tables.index_copy_(1, self.nonzero, values)

    def contract(
        self, tables: list[torch.Tensor], outers: list[torch.Tensor]
    ) -> torch.Tensor:
        """Contract outer products of components with the weighted coefficients.

        :param tables: result of :meth:`tables`
        :param outers: products of components even x even, odd x odd, even x odd, and odd x
            even, each ``[c, N, pairs]``
        :return: ``[N, M3, c]``
        """
        equal = torch.baddbmm(torch.bmm(outers[0], tables[0]), outers[1], tables[1])
        opposite = torch.baddbmm(torch.bmm(outers[2], tables[2]), outers[3], tables[3])
        products = torch.cat([equal, opposite], dim=2).index_select(2, self.order)
        return products.permute(1, 2, 0)

    def extra_repr(self) -> str:
        degrees = " x ".join(str(size - 1) for size in self.weight.shape[:2])
        return (
            f"max_degrees={degrees} -> {self.weight.shape[2] - 1}, "
            f"num_channels={self.num_channels}, pseudo={self.pseudo}"
        )


def _outer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``[c, N, A], [c, N, B] -> [c, N, A * B]``, as matrix products for their speed."""
    product = torch.bmm(a.flatten(0, 1).unsqueeze(2), b.flatten(0, 1).unsqueeze(1))
    return product.reshape(a.shape[0], a.shape[1], a.shape[2] * b.shape[2])


def _initial_path_weights(
    num_degrees: list[int], num_channels: int, pseudo: bool
) -> torch.Tensor:
    """Normal weights of variance 1 / (paths that lead to the same output degree)."""
    weights = torch.zeros(*num_degrees, num_channels)
    for l3 in range(num_degrees[2]):
        paths = [
            (l1, l2)
            for l1 in range(num_degrees[0])
            for l2 in range(num_degrees[1])
            if abs(l1 - l2) <= l3 <= l1 + l2 and (l1 + l2 + l3) % 2 == int(pseudo)
        ]
        for l1, l2 in paths:
            truncated_normal_(weights[l1, l2, l3], 1.0 / len(paths))
    return weights


class TensorDense(torch.nn.Module):
    """Tensor product of two linear maps of the same features.

    :param max_degree_in: highest degree of the input
    :param max_degree_out: highest degree of the output
    :param in_channels: channels of the input
    :param out_channels: channels of the output
    """

    def __init__(
        self,
        max_degree_in: int,
        max_degree_out: int,
        in_channels: int,
        out_channels: int,
    ) -> None:
        super().__init__()
        self.linear = DegreeLinear(max_degree_in, in_channels, 2 * out_channels)
        self.product = TensorProduct(
            max_degree_in, max_degree_in, max_degree_out, out_channels
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``[N, M_in, in_channels] -> [N, M_out, out_channels]``"""
        a, b = torch.chunk(self.linear(features), 2, dim=2)
        return self.product(a, b)
