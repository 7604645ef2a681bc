"""Pair features that depend on species only, summed over neighbors by way of tables."""

import torch

from .features import Sizes
from .layers import linear, mlp


class SpeciesPairExpansion(torch.nn.Module):
    r"""Sums of pair features that are made from the species of both atoms.

    The model learns scalar features of each pair, and linear maps of them:

    .. math::

        s_{ij} = \sum_k T_k(e_i, e_j) R_k(r_{ij}), \quad
        u_i = \sum_j W s_{ij}, \quad
        x_i^{lm} = \sum_j (V_l s_{ij}) Y_{lm}(\hat r_{ij})

    where :math:`T` is a neural network of the species embeddings. As every step after
    :math:`T` is linear, the sums over neighbors are taken first
    (:class:`.NeighborDensity`), and :math:`T W`, :math:`T V_l` are tabulated once for
    each pair of species. No array of size pairs x features is formed.

    :param sizes: sizes of the features
    :param num_radial: number of radial functions ``K``
    :param num_species_features: width ``e`` of the species embedding
    """

    def __init__(self, sizes: Sizes, num_radial: int, num_species_features: int) -> None:
        super().__init__()
        d = sizes.num_features
        self.num_radial = num_radial
        self.num_features = d
        self.max_degree = sizes.max_degree
        self.coefficients = mlp([2 * num_species_features, d, num_radial * d])
        self.to_scalar = linear(d, d, bias=False)
        self.to_spherical = linear(d, sizes.num_invariants, bias=False)
        empty = torch.empty(0)
        self.register_buffer("fixed_index", empty.to(torch.int64), persistent=False)
        self.register_buffer("fixed_scalar", empty, persistent=False)
        self.register_buffer("fixed_spherical", empty, persistent=False)

    def tables(
        self, species_pairs: torch.Tensor, embedding: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """:math:`T W` and :math:`T V_l` of pairs of species.

        :param species_pairs: species of centers and neighbors, ``[T, 2]``
        :param embedding: species embedding, ``[num_species, e]``
        :return: ``[T, K, d]`` and ``[T, L + 1, K, c]``
        """
        if self.fixed_index.numel() > 0:
            index = self.fixed_index[species_pairs[:, 0], species_pairs[:, 1]]
            return self.fixed_scalar[index], self.fixed_spherical[index]
        return self._new_tables(species_pairs, embedding)

    def _new_tables(
        self, species_pairs: torch.Tensor, embedding: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Result of :meth:`tables`, from the weights."""
        embedded = embedding[species_pairs].flatten(1)  # [T, 2 e]
        table = self.coefficients(embedded)
        table = table.reshape(-1, self.num_radial, self.num_features)
        spherical = self.to_spherical(table).unflatten(2, [self.max_degree + 1, -1])
        return self.to_scalar(table), spherical.transpose(1, 2)

    def fix_tables(self, species: list[int], embedding: torch.Tensor) -> None:
        """Keep the tables from now on, for weights that do not change any more.

        :param species: species of all atoms to come
        :param embedding: species embedding, ``[num_species, e]``
        """
        device = embedding.device
        numbers = torch.tensor(species, device=device)
        pairs = torch.cartesian_prod(numbers, numbers)
        scalar, spherical = self._new_tables(pairs, embedding)
        self.fixed_scalar, self.fixed_spherical = scalar.detach(), spherical.detach()
        index = torch.full([embedding.shape[0]] * 2, -1, device=device)
        index[pairs[:, 0], pairs[:, 1]] = torch.arange(len(pairs), device=device)
        self.fixed_index = index

    def scalars(
        self, sums: torch.Tensor, table: torch.Tensor, counts: list[int]
    ) -> torch.Tensor:
        """``u [G, d]`` of all neighborhoods, which are sorted by their pair of species.

        :param sums: of the radial functions, ``[G, K]``
        :param table: first one of :meth:`tables`
        :param counts: number of neighborhoods of each pair of species, ``[T]``
        """
        tables = table.unbind(0)  # not one by one: the gradient of all is one array
        parts = [part @ tables[t] for t, part in enumerate(torch.split(sums, counts))]
        return torch.cat([sums.new_zeros(0, self.num_features)] + parts)

    def spherical(
        self, density: list[torch.Tensor], table: torch.Tensor, index: torch.Tensor
    ) -> torch.Tensor:
        """``x [G, M, c]`` of some neighborhoods.

        :param density: their densities of each degree, ``[G, 2 l + 1, K]``
        :param table: second one of :meth:`tables`
        :param index: their pairs of species as an index into the table, ``[G]``
        """
        tables = table.index_select(0, index).unbind(1)  # L + 1 times [G, K, c]
        parts = [torch.bmm(part, tables[l]) for l, part in enumerate(density)]
        return torch.cat(parts, dim=1)

    def extra_repr(self) -> str:
        return f"num_fixed={self.fixed_scalar.shape[0]}"
