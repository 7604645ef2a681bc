"""Tensor products of spherical features ``[N, M, c]``."""

import torch

from ..ops.chunks import chunk_size, cut, join
from .clebsch_gordan import clebsch_gordan
from .degree_linear import DegreeLinear
from .layers import truncated_normal_
from .spherical import degrees_of_components


# Up to this degree, even and odd components are not kept apart: twice the multiplications
# in a quarter of the operations.
MAX_DEGREE_TOGETHER = 3


class TensorProduct(torch.nn.Module):
    r"""Channel-wise tensor product with one weight per coupling path and channel.

    .. math::

        z^{l_3 m_3}_c = \sum_{l_1 l_2} w^{l_1 l_2 l_3}_c \sum_{m_1 m_2}
        C^{l_3 m_3}_{l_1 m_1 l_2 m_2} a^{l_1 m_1}_c b^{l_2 m_2}_c

    over paths with even :math:`l_1 + l_2 + l_3`, so that no pseudotensor appears. The
    second factor makes a matrix for each atom and channel, which maps the first factor to
    the product. Half of the entries vanish by parity, so that even and odd components are
    kept apart, unless there are few. Dense matrix products are faster than the sparse sum
    over the non-zero coefficients (1 in 8), on CPU and GPU.

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
        self.num_groups = 1 if max(max_degrees) <= MAX_DEGREE_TOGETHER else 2
        groups = [
            [
                torch.nonzero(d % self.num_groups == g).flatten()
                for g in range(self.num_groups)
            ]
            for d in degrees
        ]
        self.degree_sizes = [[2 * l + 1 for l in range(number)] for number in num_degrees]

        # Entries (m1, m2, m3) of the tables, one table after the other
        l1, l2, l3 = torch.meshgrid(*degrees, indexing="ij")
        coefficients = clebsch_gordan(*max_degrees) * ((l1 + l2 + l3) % 2 == int(pseudo))
        paths = (l1 * num_degrees[1] + l2) * num_degrees[2] + l3
        numbers = torch.arange(coefficients.numel()).reshape(coefficients.shape)
        tables: list[torch.Tensor] = []
        self.matrix_shapes: list[list[int]] = []
        for group2, of_b in enumerate(groups[1]):
            for group1, of_a in enumerate(groups[0]):
                of_z = groups[2][self.group_of(group1, group2)]
                self.matrix_shapes.append([len(of_a), len(of_z)])
                tables.append(numbers[of_a][:, of_b][:, :, of_z].transpose(0, 1).flatten(1))
        self.table_shapes = [list(table.shape) for table in tables]
        self.table_sizes = [table.numel() for table in tables]
        entries = torch.cat([table.flatten() for table in tables])
        nonzero = torch.nonzero(coefficients.flatten()[entries]).flatten()
        buffers = {
            "nonzero": nonzero,
            "coefficients": coefficients.flatten()[entries[nonzero]],
            "paths": paths.flatten()[entries[nonzero]],
        }
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)

        self.weight = torch.nn.Parameter(
            _initial_path_weights(num_degrees, num_channels, pseudo)
        )
        self.register_buffer("fixed_tables", torch.empty(0), persistent=False)

    def group_of(self, group1: int, group2: int) -> int:
        """Group of the components to which those of two groups couple."""
        return (group1 + group2 + int(self.pseudo)) % self.num_groups

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """``[N, M1, c], [N, M2, c] -> [N, M3, c]``"""
        tables = self.tables()
        size = chunk_size(a, a.shape[1] * sum(self.degree_sizes[2]) * a.shape[2])
        products: list[torch.Tensor] = []
        for of_a, of_b in zip(cut(a, size), cut(b, size)):
            products.append(self._products(tables, of_a, of_b))
        return join(products)

    def _products(
        self, tables: list[torch.Tensor], a: torch.Tensor, b: torch.Tensor
    ) -> torch.Tensor:
        """Products with tables that were made before."""
        parts = self._groups(a.permute(2, 0, 1), 0)
        rows = [part.flatten(0, 1).unsqueeze(1) for part in parts]
        matrices: list[torch.Tensor] = []  # each [c N, m1, m3]
        for group2, part in enumerate(self._groups(b.permute(2, 0, 1), 1)):
            for group1 in range(self.num_groups):
                table = group2 * self.num_groups + group1
                matrix = torch.bmm(part, tables[table]).flatten(0, 1)
                matrices.append(matrix.unflatten(1, self.matrix_shapes[table]))
        products = self._contract(rows * self.num_groups, matrices)
        shape = [a.shape[2], a.shape[0]]
        return self._join([z.unflatten(0, shape).squeeze(2) for z in products])

    def of_outer(self, outer: torch.Tensor) -> torch.Tensor:
        """Products of factors that come as outer products, or as sums of such.

        :param outer: ``[N, c, M1, M2]``
        :return: ``[N, M3, c]``
        """
        rows: list[torch.Tensor] = []
        for of_b in self._groups(outer.transpose(0, 1), 1):
            for part in self._groups(of_b.transpose(2, 3), 0):
                rows.append(part.flatten(2))  # [c, N, m2 m1]
        matrices: list[torch.Tensor] = []
        for i, table in enumerate(self.tables()):
            matrices.append(table.unflatten(2, self.matrix_shapes[i]).flatten(1, 2))
        return self._join(self._contract(rows, matrices))

    def tables(self) -> list[torch.Tensor]:
        """Coefficients times path weights.

        :return: one for each group of ``m2``, and each one of ``m1``: ``[c, m2, m1 m3]``
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

    def _groups(self, features: torch.Tensor, factor: int) -> list[torch.Tensor]:
        """Components of each group of a factor, ``[..., M] -> [..., components]``."""
        if self.num_groups == 1:
            return [features]
        degrees = list(torch.split(features, self.degree_sizes[factor], -1))
        # Parts of size zero, for there may be no odd degree
        none = [features.detach().narrow(-1, 0, 0)]
        return [torch.cat(none + degrees[0::2], -1), torch.cat(none + degrees[1::2], -1)]

    def _contract(
        self, rows: list[torch.Tensor], matrices: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Sums of rows times matrices, for each group of ``m3``.

        :param rows: one for each table
        :param matrices: likewise
        """
        products: list[torch.Tensor] = []
        for group3 in range(self.num_groups):
            table = self.group_of(group3, 0)
            product = torch.bmm(rows[table], matrices[table])
            if self.num_groups == 2:
                table = 3 - table
                product = torch.baddbmm(product, rows[table], matrices[table])
            products.append(product)
        return products

    def _join(self, groups: list[torch.Tensor]) -> torch.Tensor:
        """All components from those of each group, ``[c, N, m3] -> [N, M3, c]``."""
        if self.num_groups == 1:
            return groups[0].permute(1, 2, 0)
        even = list(torch.split(groups[0], self.degree_sizes[2][0::2], 2))
        odd = list(torch.split(groups[1], self.degree_sizes[2][1::2], 2))
        degrees: list[torch.Tensor] = []
        for i, part in enumerate(even):
            degrees.append(part)
            degrees += odd[i : i + 1]
        return torch.cat(degrees, 2).permute(1, 2, 0)

    def extra_repr(self) -> str:
        degrees = " x ".join(str(size - 1) for size in self.weight.shape[:2])
        return (
            f"max_degrees={degrees} -> {self.weight.shape[2] - 1}, "
            f"num_channels={self.num_channels}, pseudo={self.pseudo}"
        )


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
