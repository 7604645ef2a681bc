"""Sums over neighbors as they are written down: pair by pair."""

import torch

from metatrain_lorem.graph import Graph
from metatrain_lorem.network.lorem import Network
from metatrain_lorem.network.spherical import degrees_of_components
from metatrain_lorem.ops.safe_norm import safe_norm


def pair_vectors(graph: Graph) -> torch.Tensor:
    """``r_ij = r_j - r_i + shift_ij @ cell`` of all pairs, ``[P, 3]``."""
    cells = graph.cells[graph.systems[graph.centers]]
    shifts = torch.einsum("pa,pab->pb", graph.cell_shifts.to(cells.dtype), cells)
    return graph.positions[graph.neighbors] - graph.positions[graph.centers] + shifts


class PairSums:
    """Radial functions and harmonics of all ``P`` pairs of a graph."""

    def __init__(self, graph: Graph, network: Network) -> None:
        self.graph = graph
        vectors = pair_vectors(graph).unsqueeze(0)
        distances = safe_norm(vectors)
        self.radial = network.density.radial(distances)[0].T  # [P, K]
        self.harmonics = network.density.harmonics(vectors, distances)[0].T  # [P, M]
        self.degrees = degrees_of_components(network.sizes.max_degree)

    def pair_features(
        self, coefficients: torch.nn.Module, features: torch.Tensor
    ) -> torch.Tensor:
        """``s_ij [P, d]`` from features of both atoms ``[N, ...]``."""
        pairs = torch.cat(
            [features[self.graph.centers], features[self.graph.neighbors]], dim=1
        )
        of_radial = coefficients(pairs).unflatten(1, [self.radial.shape[1], -1])
        return (of_radial * self.radial.unsqueeze(2)).sum(1)

    def filters(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Coefficients of each degree ``[P, (L + 1) c]`` times harmonics, ``[P, M, c]``"""
        of_degree = coefficients.unflatten(1, [int(self.degrees.max()) + 1, -1])
        return of_degree[:, self.degrees] * self.harmonics.unsqueeze(2)

    def over_neighbors(self, of_pairs: torch.Tensor) -> torch.Tensor:
        """``[P, ...] -> [N, ...]``"""
        num_atoms = len(self.graph.species)
        zeros = torch.zeros(num_atoms, *of_pairs.shape[1:], dtype=of_pairs.dtype)
        return zeros.index_add(0, self.graph.centers, of_pairs)
