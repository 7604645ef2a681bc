"""Density of the neighbors, against sums over single pairs and in chunks of any size."""

import pytest
import torch
from helpers.energy_model import CUTOFF, EnergyModel
from helpers.pair_sums import PairSums
from helpers.systems import make_graph, mixed

from metatrain_lorem.graph import gather_neighborhoods, geometry_of
from metatrain_lorem.ops import chunks


def test_sum_over_pairs(model):
    r"""Of neighbors of all species: :math:`\sum_j Y_{lm}(\hat r_{ij}) R_k(r_{ij})`."""
    graph = make_graph(mixed(), CUTOFF, seed=1)
    geometry = geometry_of(graph, gather_neighborhoods(graph), CUTOFF)
    density = model.network.density(geometry.vectors, geometry.distances)
    sums = PairSums(graph, model.network)
    expected = sums.over_neighbors(sums.harmonics.unsqueeze(2) * sums.radial.unsqueeze(1))
    of_atoms = torch.zeros_like(expected)
    of_atoms.index_add_(0, geometry.neighborhoods.centers, density)
    torch.testing.assert_close(of_atoms, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("budget", [1, 5_000, 10**12])
def test_chunks_change_nothing(budget, monkeypatch):
    """Neither in features nor in forces, from single rows to whole arrays."""
    model = EnergyModel(num_message_passing=1)
    graph = make_graph(mixed(), CUTOFF)
    graph.positions.requires_grad_()

    def results() -> tuple[torch.Tensor, torch.Tensor]:
        energies = model(graph)
        return energies, torch.autograd.grad(energies.sum(), graph.positions)[0]

    expected = results()
    monkeypatch.setattr(chunks.chunk_size, "__defaults__", (budget,))
    torch.testing.assert_close(results(), expected, rtol=1e-11, atol=1e-11)
