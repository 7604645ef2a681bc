"""Tables that are made once give the same results, for few species and for many."""

import pytest
import torch
from helpers.energy_model import CUTOFF, EnergyModel
from helpers.systems import make_graph, mixed

from metatrain_lorem.network import fixed_tables
from metatrain_lorem.network.fixed_tables import with_fixed_tables


SPECIES = [1, 8, 11, 17]


@pytest.mark.parametrize("max_species", [4, 3])
def test_same_results(model, max_species, monkeypatch):
    """Tables of pairs of species are not kept for too many of them."""
    monkeypatch.setattr(fixed_tables, "MAX_FIXED_SPECIES", max_species)
    fixed = with_fixed_tables(model, SPECIES)
    assert (fixed.network.expansion.fixed_index.numel() > 0) == (max_species == 4)
    graph = make_graph(mixed(), CUTOFF)
    torch.testing.assert_close(fixed(graph), model(graph), rtol=1e-14, atol=1e-14)


def test_the_model_itself_stays():
    """It trains on; the copy keeps the results of its own weights."""
    model, graph = EnergyModel(), make_graph(mixed(), CUTOFF)
    before = model(graph).detach()
    fixed = with_fixed_tables(model.train(), SPECIES)
    assert model.training
    assert not fixed.training
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    assert float((model(graph) - before).detach().abs().max()) > 1e-3
    torch.testing.assert_close(fixed(graph), before, rtol=1e-14, atol=1e-14)
