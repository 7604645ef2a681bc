"""Message passing, against sums over single pairs."""

import pytest
import torch
from helpers.energy_model import CUTOFF, EnergyModel
from helpers.pair_sums import PairSums
from helpers.systems import (
    crystal,
    distant_atoms,
    make_graph,
    molecule,
    skewed_crystal,
    slab,
)


@pytest.mark.parametrize("equivariant", [False, True])
@pytest.mark.parametrize("max_degree", [0, 3])
def test_sum_over_pairs(max_degree, equivariant):
    """Both steps of a model with two, with pair features made from both atoms."""
    structures = [crystal(), skewed_crystal(), molecule(), distant_atoms(), slab()]
    graph = make_graph(structures, CUTOFF, seed=1)
    network = EnergyModel(
        max_degree=max_degree,
        max_degree_lr=0,
        num_message_passing=2,
        equivariant_message_passing=equivariant,
    ).network
    sums = PairSums(graph, network)
    nodes = network(graph)
    assert len(network.messages) == 2
    for step, messages in enumerate(network.messages):
        scalars, spherical = nodes.scalars[step], nodes.spherical[step]
        pair_features = sums.pair_features(messages.coefficients.network, scalars)
        inputs = sums.over_neighbors(messages.to_scalar(pair_features))
        scalars = messages.update(scalars, inputs)
        if equivariant:
            block = messages.spherical
            filters = block.filter(sums.filters(block.to_spherical(pair_features)))
            received = sums.over_neighbors(
                block.message_product(filters, spherical[graph.neighbors])
            )
            assert float(received.detach().abs().max()) > 1e-3
            spherical = block.product(block.own(spherical), block.received(received))
            scalars = block.update(scalars, block.norms(spherical).flatten(1))
        size = float(spherical.detach().abs().max())
        torch.testing.assert_close(nodes.scalars[step + 1], scalars, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(
            nodes.spherical[step + 1], spherical, rtol=1e-11, atol=1e-13 * size
        )
