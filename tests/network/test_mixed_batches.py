"""Systems of all kinds in one batch."""

import pytest
import torch
from helpers.energy_model import CUTOFF, EnergyModel, Results, assert_equal, results_of
from helpers.systems import (
    STRUCTURES,
    crystal,
    make_graph,
    make_structure,
    mixed,
    molecule,
    slab,
)


@pytest.mark.parametrize("seed", range(4))
def test_batch(model, seed):
    """Systems of all kinds together are what each of them is alone."""
    structures = [function() for function in STRUCTURES.values()] + [slab()]
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(structures), generator=generator).tolist()
    structures = [structures[i] for i in order]
    alone = [results_of(model, structure) for structure in structures]
    expected = Results(*[torch.cat(values) for values in zip(*alone, strict=True)])
    assert_equal(results_of(model, *structures), expected, 1e-12)


def test_charges_of_batch(model):
    structures = mixed()
    nodes = model.network(make_graph(structures, CUTOFF))
    alone = [model.network(make_graph([structure], CUTOFF)) for structure in structures]
    for name in ("charges", "potentials"):
        expected = torch.cat([getattr(values, name) for values in alone])
        torch.testing.assert_close(getattr(nodes, name), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("long_range", [True, False])
def test_systems_without_atoms(long_range):
    model = EnergyModel(long_range=long_range)
    nothing = make_structure([], torch.zeros(0, 3))
    alone = results_of(model, nothing)
    assert alone.energies.tolist() == [0]
    assert alone.forces.shape == (0, 3)
    together = results_of(model, nothing, crystal(), nothing, molecule(), nothing)
    expected = [results_of(model, crystal()), results_of(model, molecule())]
    assert together.energies[[0, 2, 4]].tolist() == [0, 0, 0]
    for i, results in zip((1, 3), expected, strict=True):
        torch.testing.assert_close(
            together.energies[i], results.energies[0], rtol=1e-12, atol=1e-12
        )
