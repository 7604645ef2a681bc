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


def pairs_of(graph: Graph, rows: Neighborhoods) -> torch.Tensor:
    """The pairs ``(i, j, x, y, z)`` of all rows, sorted."""
    vectors = neighbor_vectors(graph, rows, CUTOFF)
    centers = rows.centers.unsqueeze(1).expand_as(rows.neighbors)[rows.mask]
    pairs = torch.cat(
        [
            torch.stack([centers, rows.neighbors[rows.mask]], dim=1),
            vectors[rows.mask],
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
    """One row per center and species of the neighbors, sorted by both species."""
    graph = make_graph(MIXED, CUTOFF, seed=0)
    rows = gather_neighborhoods(graph)
    species = graph.species[rows.neighbors]  # [G, W]
    of_row = rows.species_pairs[rows.pair_of_row]  # [G, 2]
    assert torch.equal(of_row[:, 0], graph.species[rows.centers])
    assert torch.equal(
        of_row[:, 1].unsqueeze(1).expand_as(species)[rows.mask], species[rows.mask]
    )
    assert len(torch.unique(rows.species_pairs, dim=0)) == len(rows.species_pairs)
    assert torch.equal(rows.pair_of_row, rows.pair_of_row.sort().values)
    assert rows.rows_per_pair == torch.bincount(rows.pair_of_row).tolist()
    row_names = torch.cat([rows.centers.unsqueeze(1), of_row[:, 1:]], dim=1)
    assert len(torch.unique(row_names, dim=0)) == len(row_names)


def test_padding():
    """Empty slots are beyond the cutoff, and not wider than the longest row."""
    graph = make_graph([crystal(), molecule()], CUTOFF)
    rows = gather_neighborhoods(graph)
    assert not bool(rows.mask.all())
    assert int(rows.mask.sum(1).min()) >= 1
    assert int(rows.mask.sum(1).max()) == rows.mask.shape[1]
    vectors = neighbor_vectors(graph, rows, CUTOFF)
    assert float(safe_norm(vectors[~rows.mask]).min()) > CUTOFF
    own = rows.centers.unsqueeze(1).expand_as(rows.neighbors)
    assert torch.equal(rows.neighbors[~rows.mask], own[~rows.mask])


@pytest.mark.parametrize("structures", [[], [single_atom()], [distant_atoms()]])
def test_no_pairs(structures):
    empty = make_structure([], torch.zeros(0, 3))
    graph = make_graph(structures or [empty], CUTOFF)
    rows = gather_neighborhoods(graph)
    assert neighbor_vectors(graph, rows, CUTOFF).shape == (0, 0, 3)
    assert rows.mask.shape == rows.neighbors.shape == (0, 0)
    assert rows.centers.shape == rows.pair_of_row.shape == (0,)
    assert rows.species_pairs.shape == (0, 2)
    assert rows.rows_per_pair == []


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
        ]
    )
    assert not strided.positions.is_contiguous()
    strided = strided._replace(species=strided.species.to(torch.int32))
    model = EnergyModel()
    for value, other in zip(evaluate(model, graph), evaluate(model, strided), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-12, atol=1e-12)
