"""Systems of metatomic as the network sees them."""

import metatensor.torch as mts
import torch
from helpers.lorem_models import (
    energies_of,
    fit,
    make_model,
    make_system,
)
from helpers.systems import crystal, make_graph, molecule, single_atom, slab
from metatensor.torch import TensorBlock
from metatomic.torch import (
    ModelOutput,
    System,
)

from metatrain_lorem.systems import atom_samples, graph_of_systems


def test_batch():
    """The graph of a batch; each index refers to the batch or to the system."""
    model, structures = make_model(), [crystal(), molecule(), single_atom(), slab()]
    systems = [make_system(model, structure) for structure in structures]
    graph = graph_of_systems(systems, model.requested_neighbor_lists()[0])
    expected = make_graph(structures, model.network.cutoff)
    for name in ("positions", "species", "cells", "pbc", "systems"):
        assert torch.equal(getattr(graph, name), getattr(expected, name)), name
    pairs = [
        torch.cat([g.centers[:, None], g.neighbors[:, None], g.cell_shifts], dim=1).tolist()
        for g in (graph, expected)
    ]
    assert sorted(pairs[0]) == sorted(pairs[1])
    rows = [(i, a) for i, s in enumerate(structures) for a in range(len(s.species))]
    assert atom_samples(graph).values.tolist() == [list(row) for row in rows]


def test_same_system_several_times():
    """Objects that a batch shares are not changed by it."""
    model = fit(make_model())
    system = make_system(model, crystal())
    outputs = {"energy": ModelOutput(sample_kind="system")}
    energies = model([system, system, system], outputs)["energy"].block().values.flatten()
    torch.testing.assert_close(energies, energies_of(model, crystal()).repeat(3))
    assert system.known_neighbor_lists() == model.requested_neighbor_lists()


def test_values_of_neighbor_list_are_not_used():
    """Distances and indices of pairs cannot disagree, as the former are computed."""
    model = fit(make_model())
    system = make_system(model, crystal())
    (options,) = model.requested_neighbor_lists()
    pairs = system.get_neighbor_list(options)
    wrong = System(system.types, system.positions, system.cell, system.pbc)
    wrong.add_neighbor_list(
        options,
        TensorBlock(
            values=pairs.values.flip(0),
            samples=pairs.samples,
            components=pairs.components,
            properties=pairs.properties,
        ),
    )
    outputs = {"energy": ModelOutput(sample_kind="system")}
    assert mts.equal(model([system], outputs)["energy"], model([wrong], outputs)["energy"])
