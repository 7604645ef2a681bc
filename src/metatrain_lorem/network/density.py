"""First features of the atoms, from the density of their neighbors."""

import torch

from ..graph import Neighborhoods
from .layers import linear, mlp


class SpeciesPairExpansion(torch.nn.Module):
    r"""First features of the atoms, from pair features that depend on species only.

    The model learns scalar features of each pair, and linear maps of them:

    .. math::

        s_{ij} = \sum_k T_k(e_i, e_j) R_k(r_{ij}), \quad
        u_i = \sum_j W s_{ij}, \quad
        x_i^{lm} = \sum_j (V_l s_{ij}) Y_{lm}(\hat r_{ij})

    where :math:`T` is a neural network of the species embeddings. As every step after
    :math:`T` is linear, the sums over neighbors are taken first
    (:meth:`.lorem.Network.neighbor_density`), and :math:`T W`, :math:`T V_l` are
    tabulated once for each pair of species. No array of size pairs x features is formed.

    :param num_species_features: width of the species embedding
    :param num_radial: number of radial functions ``K``
    :param num_features: number of scalar features ``d``
    :param max_degree: highest degree ``L``
    :param num_spherical_features: channels ``c`` of the spherical features
    """

    def __init__(
        self,
        num_species_features: int,
        num_radial: int,
        num_features: int,
        max_degree: int,
        num_spherical_features: int,
    ) -> None:
        super().__init__()
        self.num_radial = num_radial
        self.num_features = num_features
        self.max_degree = max_degree
        self.coefficients = mlp(
            [2 * num_species_features, num_features, num_radial * num_features]
        )
        self.to_scalar = linear(num_features, num_features, bias=False)
        self.to_spherical = linear(
            num_features, (max_degree + 1) * num_spherical_features, bias=False
        )
        empty = torch.empty(0)
        self.register_buffer("fixed_rows", empty.to(torch.int64), persistent=False)
        self.register_buffer("fixed_scalar", empty, persistent=False)
        self.register_buffer("fixed_spherical", empty, persistent=False)

    def tables(
        self, species_pairs: torch.Tensor, embedding: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """:math:`T W` and :math:`T V_l` of pairs of species.

        :param species_pairs: atomic numbers of centers and neighbors, ``[T, 2]``
        :param embedding: species embedding, ``[100, e]``
        :return: ``[T, K, d]`` and ``[T, L + 1, K, c]``
        """
        if self.fixed_rows.numel() > 0:
            rows = self.fixed_rows[species_pairs[:, 0], species_pairs[:, 1]]
            return self.fixed_scalar[rows], self.fixed_spherical[rows]
        return self._new_tables(species_pairs, embedding)

    def _new_tables(
        self, species_pairs: torch.Tensor, embedding: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Result of :meth:`tables`, from the weights."""
        pairs = embedding[species_pairs].flatten(1)  # [T, 2 e]
        table = self.coefficients(pairs).reshape(-1, self.num_radial, self.num_features)
        spherical = self.to_spherical(table).unflatten(2, [self.max_degree + 1, -1])
        return self.to_scalar(table), spherical.transpose(1, 2)

    def fix_tables(self, species: list[int], embedding: torch.Tensor) -> None:
        """Keep the tables from now on, for weights that do not change any more.

        :param species: atomic numbers of all atoms to come
        :param embedding: species embedding, ``[100, e]``
        """
        numbers = torch.tensor(species, device=embedding.device)
        pairs = torch.cartesian_prod(numbers, numbers)
        scalar, spherical = self._new_tables(pairs, embedding)
        self.fixed_scalar, self.fixed_spherical = scalar.detach(), spherical.detach()
        rows = torch.full([embedding.shape[0]] * 2, -1, device=embedding.device)
        rows[pairs[:, 0], pairs[:, 1]] = torch.arange(len(pairs), device=embedding.device)
        self.fixed_rows = rows

    def scalars(
        self, sums: torch.Tensor, table: torch.Tensor, rows: Neighborhoods
    ) -> torch.Tensor:
        """``u [G, d]`` from sums of radial functions ``[G, K]``."""
        tables = table.unbind(0)  # not one by one: the gradient of all is one array
        parts = torch.split(sums, rows.rows_per_pair)
        parts = [part @ tables[t] for t, part in enumerate(parts)]
        return torch.cat([sums.new_zeros(0, self.num_features)] + parts)

    def spherical(
        self, density: list[torch.Tensor], table: torch.Tensor, pairs: torch.Tensor
    ) -> torch.Tensor:
        """``x [rows, M, c]`` of some neighborhoods.

        :param density: their densities of each degree, ``[rows, 2 l + 1, K]``
        :param pairs: their species pairs ``[rows]``, as rows of the table
        """
        tables = table.index_select(0, pairs).unbind(1)  # L + 1 times [rows, K, c]
        parts = [torch.bmm(part, tables[l]) for l, part in enumerate(density)]
        return torch.cat(parts, dim=1)
