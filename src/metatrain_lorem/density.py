"""First features of the atoms, from the density of their neighbors."""

import torch

from .graph import Neighborhoods
from .initialization import linear, mlp


class SpeciesPairExpansion(torch.nn.Module):
    r"""First features of the atoms, from pair features that depend on species only.

    The model learns scalar features of each pair, and linear maps of them:

    .. math::

        s_{ij} = \sum_k T_k(e_i, e_j) R_k(r_{ij}), \quad
        u_i = \sum_j W s_{ij}, \quad
        x_i^{lm} = \sum_j (V_l s_{ij}) Y_{lm}(\hat r_{ij})

    where :math:`T` is a neural network of the species embeddings. As every step after
    :math:`T` is linear, the sums over neighbors are taken first
    (:meth:`.network.Network.neighbor_density`), and :math:`T W`, :math:`T V_l` are
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

    def forward(
        self, density: torch.Tensor, rows: Neighborhoods, embedding: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scalar inputs and spherical features of the neighborhoods.

        :param density: ``[G, M, K]``
        :param rows: the neighborhoods, sorted by species pair
        :param embedding: species embedding, ``[100, e]``
        :return: ``u [G, d]`` and ``x [G, M, c]``, to be summed over the rows of an atom
        """
        pairs = embedding[rows.species_pairs].flatten(1)  # [T, 2 e]
        table = self.coefficients(pairs).reshape(-1, self.num_radial, self.num_features)
        scalar_table = self.to_scalar(table)  # [T, K, d]
        spherical_table = self.to_spherical(table).unflatten(2, [self.max_degree + 1, -1])
        # [T, K, L + 1, c] -> L + 1 times [G, K, c]
        tables = spherical_table.transpose(1, 2).index_select(0, rows.pair_of_row).unbind(1)
        degrees = torch.split(density, [2 * l + 1 for l in range(self.max_degree + 1)], 1)

        # Y_00 = 1: the first component is the sum of R_k.
        sums = torch.split(degrees[0].squeeze(1), rows.rows_per_pair)
        scalars = [part @ scalar_table[t] for t, part in enumerate(sums)]
        spherical = [torch.bmm(part, tables[l]) for l, part in enumerate(degrees)]
        return torch.cat([density.new_zeros(0, self.num_features)] + scalars), torch.cat(
            spherical, dim=1
        )
