"""Pairs laid out as neighborhoods: every pair once, in whatever order they come."""

import pytest
import torch
from helpers.energy_model import CUTOFF, EnergyModel, evaluate
from helpers.pair_sums import pair_vectors
from helpers.systems import (
    STRUCTURES,
    crystal,
    distant_atoms,
    make_graph,
    make_structure,
    mixed,
    molecule,
    single_atom,
    skewed_crystal,
)

from metatrain_lorem.graph import (
    Graph,
    Neighborhoods,
    gather_neighborhoods,
    neighbor_vectors,
)
from metatrain_lorem.ops.safe_norm import safe_norm


MIXED = mixed()


def pairs_of(graph: Graph, neighborhoods: Neighborhoods) -> torch.Tensor:
    """The pairs ``(i, j, x, y, z)`` of all neighborhoods, sorted."""
    vectors = neighbor_vectors(graph, neighborhoods, CUTOFF)
    centers = neighborhoods.centers.unsqueeze(1).expand_as(neighborhoods.neighbors)[
        neighborhoods.mask
    ]
    pairs = torch.cat(
        [
            torch.stack([centers, neighborhoods.neighbors[neighborhoods.mask]], dim=1),
            vectors[neighborhoods.mask],
        ],
        dim=1,
    )
    return torch.tensor(sorted(pairs.tolist())).reshape(-1, 5)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_every_pair_once(seed):
    graph = make_graph(MIXED, CUTOFF, seed=seed)
    expected = torch.cat(
        [torch.stack([graph.centers, graph.neighbors], 1), pair_vectors(graph)], dim=1
    )
    expected = torch.tensor(sorted(expected.tolist()))
    torch.testing.assert_close(
        pairs_of(graph, gather_neighborhoods(graph)), expected, rtol=0, atol=1e-14
    )


def test_pair_vectors():
    """Vectors of pairs across faces of a skewed cell, in a batch with another one."""
    graph = make_graph([crystal(), skewed_crystal()], CUTOFF)
    vectors = pair_vectors(graph)
    assert bool(graph.cell_shifts.any())
    for p in range(0, len(vectors), 37):
        i, j = int(graph.centers[p]), int(graph.neighbors[p])
        expected = graph.positions[j] - graph.positions[i]
        for axis in range(3):
            shift = graph.cell_shifts[p, axis] * graph.cells[graph.systems[i], axis]
            expected = expected + shift
        torch.testing.assert_close(vectors[p], expected, rtol=0, atol=1e-14)
    assert float(safe_norm(vectors).max()) < CUTOFF


def test_rows():
    """One neighborhood per center and species of the neighbors, sorted by both species."""
    graph = make_graph(MIXED, CUTOFF, seed=0)
    neighborhoods = gather_neighborhoods(graph)
    species = graph.species[neighborhoods.neighbors]  # [G, W]
    of_neighborhood = neighborhoods.species_pairs[
        neighborhoods.species_pair_index
    ]  # [G, 2]
    assert torch.equal(of_neighborhood[:, 0], graph.species[neighborhoods.centers])
    assert torch.equal(
        of_neighborhood[:, 1].unsqueeze(1).expand_as(species)[neighborhoods.mask],
        species[neighborhoods.mask],
    )
    assert len(torch.unique(neighborhoods.species_pairs, dim=0)) == len(
        neighborhoods.species_pairs
    )
    assert torch.equal(
        neighborhoods.species_pair_index, neighborhoods.species_pair_index.sort().values
    )
    assert (
        neighborhoods.species_pair_counts
        == torch.bincount(neighborhoods.species_pair_index).tolist()
    )
    names = torch.cat([neighborhoods.centers.unsqueeze(1), of_neighborhood[:, 1:]], dim=1)
    assert len(torch.unique(names, dim=0)) == len(names)


def test_padding():
    """Empty slots are beyond the cutoff, and not wider than the longest neighborhood."""
    graph = make_graph([crystal(), molecule()], CUTOFF)
    neighborhoods = gather_neighborhoods(graph)
    assert not bool(neighborhoods.mask.all())
    assert int(neighborhoods.mask.sum(1).min()) >= 1
    assert int(neighborhoods.mask.sum(1).max()) == neighborhoods.mask.shape[1]
    vectors = neighbor_vectors(graph, neighborhoods, CUTOFF)
    assert float(safe_norm(vectors[~neighborhoods.mask]).min()) > CUTOFF
    own = neighborhoods.centers.unsqueeze(1).expand_as(neighborhoods.neighbors)
    assert torch.equal(
        neighborhoods.neighbors[~neighborhoods.mask], own[~neighborhoods.mask]
    )


@pytest.mark.parametrize("structures", [[], [single_atom()], [distant_atoms()]])
def test_no_pairs(structures):
    empty = make_structure([], torch.zeros(0, 3))
    graph = make_graph(structures or [empty], CUTOFF)
    neighborhoods = gather_neighborhoods(graph)
    assert neighbor_vectors(graph, neighborhoods, CUTOFF).shape == (0, 0, 3)
    assert neighborhoods.mask.shape == neighborhoods.neighbors.shape == (0, 0)
    assert neighborhoods.centers.shape == neighborhoods.species_pair_index.shape == (0,)
    assert neighborhoods.species_pairs.shape == (0, 2)
    assert neighborhoods.species_pair_counts == []


@pytest.mark.parametrize("num_message_passing", [0, 1])
@pytest.mark.parametrize("name", STRUCTURES)
def test_order_of_pairs(name, num_message_passing):
    """Neighbor lists come in any order, and none of it may enter the physics."""
    model = EnergyModel(num_message_passing=num_message_passing)
    graph = make_graph([STRUCTURES[name]()], CUTOFF)
    shuffled = make_graph([STRUCTURES[name]()], CUTOFF, seed=3)
    if len(graph.centers) > 8:
        assert not torch.equal(graph.neighbors, shuffled.neighbors)
    results, others = evaluate(model, graph), evaluate(model, shuffled)
    for value, other in zip(results, others, strict=True):
        torch.testing.assert_close(value, other, rtol=1e-12, atol=1e-12)
    nodes, other_nodes = model.network(graph), model.network(shuffled)
    torch.testing.assert_close(nodes.charges, other_nodes.charges, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        nodes.potentials, other_nodes.potentials, rtol=1e-12, atol=1e-12
    )


def test_order_of_pairs_in_batch():
    model = EnergyModel()
    results = evaluate(model, make_graph(MIXED, CUTOFF))
    others = evaluate(model, make_graph(MIXED, CUTOFF, seed=5))
    for value, other in zip(results, others, strict=True):
        torch.testing.assert_close(value, other, rtol=1e-12, atol=1e-12)


def test_strides():
    """Engines hand over views of their own arrays, and species in 32 bits."""
    graph = make_graph(MIXED, CUTOFF)
    strided = Graph(
        *[
            torch.stack([value, value], dim=-1)[..., 0] if value.dim() > 1 else value
            for value in graph
            if value is not None
        ]
    )
    assert not strided.positions.is_contiguous()
    strided = strided._replace(species=strided.species.to(torch.int32))
    model = EnergyModel()
    for value, other in zip(evaluate(model, graph), evaluate(model, strided), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-12, atol=1e-12)
