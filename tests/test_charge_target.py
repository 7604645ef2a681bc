"""Targets `charge`: the charges that atoms exchange are trained on those of the data."""

import ase
import numpy as np
import pytest
import torch
from ase.calculators.calculator import PropertyNotImplementedError
from helpers.lorem_models import ENERGY, make_model, predict
from helpers.systems import molecule
from helpers.tiny_runs import tiny_trainer, water
from helpers.training_tools import make_dataset, small_model, target_info, train, types_of
from metatrain.utils.io import model_from_checkpoint

from metatrain_lorem.engines.ase import WrappingCalculator


CHARGE = target_info("charge", "scalar", "atom", unit="e")
TARGETS = {"energy": ENERGY, "charge": CHARGE}
FIXED = {"fix_total_charge": True}
WATER = ase.Atoms(molecule().species.numpy(), molecule().positions.numpy())


def test_same_as_exchanged():
    model = make_model(
        {**TARGETS, "charge/mbis": target_info("charge/mbis", "scalar", "atom")}
    )
    names = ["charge", "charge/mbis", "mtt::aux::charges"]
    results = predict(model, [molecule()], names, "atom")
    exchanged = results["mtt::aux::charges"].block().values[:, :1]
    for name in names[:2]:
        assert torch.equal(results[name].block().values, exchanged)
    assert list(model.additive_models[0].outputs) == ["energy"]
    assert list(model.readouts) == ["energy"]


@pytest.mark.slow
def test_training():
    """Labels of oxygen and hydrogen are found, by the charges and without a baseline."""
    dataset = make_dataset([water(i) for i in range(4)], TARGETS)
    for i in range(4):
        values = dataset[i]["charge"].block().values
        values[:] = (
            torch.where(dataset[i]["system"].types == 8, -0.66, 0.33)
            .unsqueeze(1)
            .to(values.dtype)
        )
    model = small_model(TARGETS, types_of(dataset), long_range={"max_degree": 1})
    trainer = tiny_trainer(
        TARGETS, num_epochs=60, learning_rate=0.01, loss={"energy": "mse", "charge": "mse"}
    )
    train(model, trainer, [dataset], [dataset])
    trained = model_from_checkpoint(trainer._checkpoint(model), "export").eval()
    atoms = WATER.copy()
    atoms.calc = WrappingCalculator(trained.export())
    expected = np.where(atoms.numbers == 8, -0.66, 0.33)
    np.testing.assert_allclose(atoms.get_charges(), expected, atol=0.05)
    energy = atoms.get_potential_energy()
    np.testing.assert_allclose(atoms.get_charges(), expected, atol=0.05)
    assert atoms.get_potential_energy() == energy


def test_no_pretence():
    atoms = WATER.copy()
    atoms.calc = WrappingCalculator(make_model().export())
    with pytest.raises(PropertyNotImplementedError, match="not trained on charges"):
        atoms.get_charges()


def test_variant():
    infos = {name: target_info(name, "scalar", "atom") for name in ("charge/a", "charge/b")}
    model = make_model({"energy": ENERGY, **infos}).export()
    atoms = WATER.copy()
    atoms.calc = WrappingCalculator(model, variants={"charge": "b"})
    (values,) = predict(model, [molecule()], ["charge/b"], "atom").values()
    np.testing.assert_allclose(atoms.get_charges(), values.block().values.flatten())


def test_name_of_the_total_charge():
    with pytest.raises(ValueError, match="the name of the total charge"):
        make_model(TARGETS, system_conditioning=True)
    infos = {"energy": ENERGY, "charge/a": target_info("charge/a", "scalar", "atom")}
    atoms = WATER.copy()
    model = make_model(infos, system_conditioning=True, long_range=FIXED)
    atoms.calc = WrappingCalculator(model.export())
    atoms.info["charge"] = -2
    assert atoms.get_charges().sum() == pytest.approx(-2, abs=1e-12)
    atoms.info["charge"] = 1
    assert atoms.get_charges().sum() == pytest.approx(1, abs=1e-12)


def test_other_targets_are_refused():
    for kind, sample_kind, number in [
        ("scalar", "system", 1),
        ("scalar", "atom", 2),
        ({"cartesian": {"rank": 1}}, "atom", 1),
    ]:
        info = target_info("charge", kind, sample_kind, number)
        with pytest.raises(ValueError, match="one scalar for each atom"):
            make_model({"charge": info})


def test_without_long_range():
    """An ordinary target, with a baseline."""
    model = make_model(TARGETS, long_range={"enable": False})
    assert "charge" in model.readouts
    assert set(model.additive_models[0].outputs) == {"energy", "charge"}
