"""First features of the atoms, against sums over single pairs."""

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


@pytest.mark.parametrize("initialize_node_features", [True, False])
@pytest.mark.parametrize("max_degree", [0, 3])
def test_sum_over_pairs(max_degree, initialize_node_features):
    r"""Tabulated by species and summed first, and still :math:`\sum_j W s_{ij}` and
    :math:`\sum_j (V_l s_{ij}) Y_{lm}`, which then are mixed into the features.
    """
    structures = [crystal(), skewed_crystal(), molecule(), distant_atoms(), slab()]
    graph = make_graph(structures, CUTOFF, seed=1)
    network = EnergyModel(
        max_degree=max_degree,
        max_degree_lr=0,
        initialize_node_features=initialize_node_features,
    ).network
    nodes = network(graph)

    sums = PairSums(graph, network)
    embedded = network.species(graph.species)
    pair_features = sums.pair_features(network.expansion.coefficients, embedded)
    inputs = sums.over_neighbors(network.expansion.to_scalar(pair_features))
    filters = sums.filters(network.expansion.to_spherical(pair_features))
    spherical = network.couple(sums.over_neighbors(filters))
    assert float(inputs.detach().abs().max()) > 0.1
    assert float(spherical.detach().abs().max()) > 0.1

    scalars = torch.zeros_like(inputs)
    if initialize_node_features:
        scalars = network.initial(embedded)
    scalars = network.density_update(scalars, inputs)
    scalars = network.norms_update(scalars, network.norms(spherical).flatten(1))
    torch.testing.assert_close(nodes.spherical[0], spherical, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(nodes.scalars[0], scalars, rtol=1e-11, atol=1e-11)
