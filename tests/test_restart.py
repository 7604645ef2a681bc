"""Restart and fine-tuning on other data, targets and atomic types."""

import copy

import metatensor.torch as mts
import pytest
import torch
from helpers.lorem_models import (
    BASELINE,
    DIPOLE,
    ENERGY,
    MIXED,
    PARTIAL,
    SCALE,
    energies_of,
    fit,
    make_info,
    make_model,
    predict,
    small_hypers,
)
from helpers.systems import crystal, make_graph, molecule, single_atom

from metatrain_lorem.model import LOREM


def test_restart_on_the_same_data():
    """Changes nothing, and nothing is left to fit."""
    model = fit(make_model())
    expected = energies_of(model, *MIXED)
    restarted = LOREM.load_checkpoint(model.get_checkpoint(), "restart")
    restarted = restarted.restart(make_info(), small_hypers()).eval()
    assert torch.equal(energies_of(restarted, *MIXED), expected)
    assert restarted.scaler.new_outputs == []
    assert torch.equal(energies_of(fit(restarted), *MIXED), expected)


def test_restart_with_other_hypers():
    model = make_model()
    with pytest.raises(ValueError, match="max_degree"):
        model.restart(make_info(), small_hypers(max_degree=2))


def test_restart_on_a_new_target():
    """What was learned stays; the new readout gets baseline and scale of its own."""
    model = fit(make_model())
    expected = energies_of(model, *MIXED)
    model.restart(make_info({"energy": ENERGY, "mtt::dipole": DIPOLE})).double()
    fit(model)
    assert torch.equal(energies_of(model, *MIXED), expected)
    assert set(model.dataset_info.targets) == {"energy", "mtt::dipole"}
    dipoles = predict(model, MIXED, ["mtt::dipole"])["mtt::dipole"].block().values
    assert bool(dipoles.any())
    again = LOREM.load_checkpoint(model.get_checkpoint(), "export").eval()
    names = list(model.supported_outputs())
    first, second = predict(model, MIXED, names), predict(again, MIXED, names)
    for name in names:
        mts.allclose_raise(second[name], first[name], rtol=1e-14, atol=1e-14)
    predict(again.export(), MIXED, names)


def test_restart_on_new_species(caplog):
    """The network knows them from the start; their baseline is fitted."""
    model = fit(make_model(types=[1, 8]))
    network = copy.deepcopy(model.network)
    model.restart(make_info(types=[8, 11, 17]))
    assert "New atomic types [11, 17]" in caplog.text
    assert model.atomic_types == [1, 8, 11, 17]
    fit(model.double())
    for name, value in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value)

    graph = make_graph([crystal()], 4.0)
    nodes, readout = model.network(graph), model.readouts["energy"]
    raw = readout(readout.features(nodes.scalars), nodes.spherical)[0].sum()
    # The scale is kept: what was learned was learned in its units.
    expected = SCALE * float(raw.detach()) + 4 * (BASELINE[11] + BASELINE[17])
    assert float(energies_of(model, crystal())) == pytest.approx(expected, rel=1e-13)

    again = LOREM.load_checkpoint(model.get_checkpoint(), "export").eval()
    assert torch.equal(energies_of(again, *MIXED[:2]), energies_of(model, *MIXED[:2]))
    assert again.export().capabilities().atomic_types == [1, 8, 11, 17]


def test_restart_on_new_species_and_target():
    model = fit(make_model(types=[1, 8]))
    targets = {"energy": ENERGY, "mtt::dipole": DIPOLE}
    model.restart(make_info(targets, types=[1, 8, 11, 17])).double()
    fit(model)
    assert set(predict(model, MIXED[:2], list(targets))) == set(targets)
    assert set(model.dataset_info.targets) == set(targets)
    assert model.dataset_info.atomic_types == [1, 8, 11, 17]


def test_restart_on_new_species_and_another_target():
    """A target that the new data lack keeps its baseline, zero for the new species."""
    model = fit(make_model(types=[1, 8]))
    expected = energies_of(model, molecule())
    model.restart(make_info({"mtt::dipole": DIPOLE}, types=[1, 8, 17])).double().eval()
    torch.testing.assert_close(energies_of(model, molecule()), expected, rtol=1e-14, atol=0)
    again = LOREM.load_checkpoint(model.get_checkpoint(), "export").eval()
    structures = [molecule(), single_atom()]
    assert torch.equal(energies_of(again, *structures), energies_of(model, *structures))
    assert abs(float(energies_of(model, single_atom()))) < 100


def test_restart_beyond_the_embedding():
    model = fit(make_model(types=[1, 8]))
    with pytest.raises(ValueError, match="atomic type 101 is beyond"):
        model.restart(make_info(types=[1, 8, 101]))
    # As before
    assert model.atomic_types == [1, 8]
    assert model.dataset_info.atomic_types == [1, 8]


def test_restart_on_new_species_with_scales_per_species():
    targets = {"energy": ENERGY, "mtt::partial": PARTIAL}
    model = fit(make_model(targets, types=[1, 8]))
    with pytest.raises(ValueError, match="mtt::partial"):
        model.restart(make_info(targets, types=[1, 8, 11]))
