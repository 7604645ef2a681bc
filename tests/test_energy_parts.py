"""Short-range and long-range parts of the energy."""

import ase
import numpy as np
import pytest
import torch
from helpers.lorem_models import ENERGY, MIXED, fit, make_model, predict
from helpers.systems import make_structure, molecule
from metatomic_ase import MetatomicCalculator

from metatrain_lorem.engines.ase import WrappingCalculator


PARTS = ["energy/short_range", "energy/long_range"]


@pytest.fixture(scope="module", params=[torch.float32, torch.float64])
def exported(request):
    """With baseline and scale."""
    model = fit(make_model())
    model.network.to(request.param)
    model.readouts.to(request.param)
    return model.export()


@pytest.mark.parametrize("sample_kind", ["atom", "system"])
def test_sum(exported, sample_kind):
    results = predict(exported, MIXED, ["energy", *PARTS], sample_kind)
    short, long = (results[name].block().values for name in PARTS)
    total = results["energy"].block().values
    torch.testing.assert_close(short + long, total, rtol=1e-14, atol=1e-14)
    assert long.abs().max() > 1e-3
    for name in PARTS:  # not only together
        (alone,) = predict(exported, MIXED, [name], sample_kind).values()
        assert torch.equal(alone.block().values, results[name].block().values)


def test_not_computed_unless_requested(monkeypatch):
    model = make_model()
    monkeypatch.setattr(model.network, "without_potentials", None)
    predict(model, MIXED, ["energy"])


def test_short_range_part_is_one():
    """Molecules beyond the cutoff do not change it, and they change the other part."""
    model = fit(make_model()).export()
    water = molecule()
    size = len(water.species)
    both = make_structure(
        2 * water.species.tolist(),
        torch.cat([water.positions, water.positions + torch.tensor([0.0, 0.0, 9.0])]),
    )
    alone = predict(model, [water], PARTS, "atom")
    together = predict(model, [both], PARTS, "atom")
    short, long = (
        (alone[name].block().values, together[name].block().values[:size]) for name in PARTS
    )
    torch.testing.assert_close(*short, rtol=1e-13, atol=1e-13)
    assert (long[0] - long[1]).abs().max() > 1e-6


def test_lone_atom_has_no_long_range_part():
    lone = make_structure([8], [[0.0, 0.0, 0.0]])
    (energy,) = predict(fit(make_model()), [lone], PARTS[1:]).values()
    assert energy.block().values.abs().max() < 1e-13


def test_forces_of_parts(exported):
    """By variants of the calculator: their forces, and those add up."""
    structure = MIXED[0]
    atoms = ase.Atoms(
        structure.species.numpy(),
        structure.positions.numpy(),
        cell=structure.cell.numpy(),
        pbc=structure.pbc.numpy(),
    )
    forces, energies = {}, {}
    for variant in (None, "short_range", "long_range"):
        atoms.calc = WrappingCalculator(exported, variants={"energy": variant})
        forces[variant] = atoms.get_forces()
        energies[variant] = atoms.get_potential_energy()
    parts = forces["short_range"] + forces["long_range"]
    tolerance = (
        1e-5 if exported.module.network.species.weight.dtype.itemsize == 4 else 1e-11
    )
    np.testing.assert_allclose(parts, forces[None], atol=tolerance)
    assert np.abs(forces["long_range"]).max() > 1e-4
    # the plain calculator takes them, too
    atoms.calc = MetatomicCalculator(exported, variants={"energy": "long_range"})
    assert abs(atoms.get_potential_energy() - energies["long_range"]) < tolerance


def test_names_are_taken():
    with pytest.raises(ValueError, match="'energy/long_range' is named like an output"):
        make_model({"energy/long_range": ENERGY})


def test_none_without_long_range():
    outputs = make_model(long_range={"enable": False}).supported_outputs()
    assert not any(name in outputs for name in PARTS)
