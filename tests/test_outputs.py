"""Outputs of some of the atoms, while all of them interact."""

import copy

import metatensor.torch as mts
import pytest
import torch
from helpers.lorem_models import (
    DIPOLE,
    ENERGY,
    MATRIX,
    MIXED,
    PARTIAL,
    fit,
    make_model,
    make_system,
    predict,
)

from metatrain_lorem.model import LOREM


EVERY = [(i, atom) for i, s in enumerate(MIXED) for atom in range(len(s.species))]
SELECTIONS = {
    "all": EVERY,
    "reordered": EVERY[::-1],
    "some": [EVERY[i] for i in (0, 3, 8, 9, 12, 14)],
    "some, reordered": [EVERY[i] for i in (9, 0, 14, 3, 12, 8)],
    "one system": [pair for pair in EVERY if pair[0] == 1],
    "none": [],
}


@pytest.fixture(scope="module")
def selection_model() -> LOREM:
    """With outputs of all kinds; the scales of one depend on the species."""
    return fit(
        make_model({"energy": ENERGY, "mtt::dipole": DIPOLE, "mtt::partial": PARTIAL})
    )


@pytest.mark.parametrize("name", SELECTIONS)
def test_selected_atoms(selection_model, name):
    """A selection is a slice of the full result: all atoms take part in the physics."""
    names = list(selection_model.supported_outputs())
    full = predict(selection_model, MIXED, names, "atom")
    selected = predict(selection_model, MIXED, names, "atom", SELECTIONS[name])
    for output in names:
        block, part = full[output].block(), selected[output].block()
        rows = [EVERY.index(pair) for pair in SELECTIONS[name]]
        assert len(part.samples) == len(rows)
        order = [part.samples.position(list(pair)) for pair in SELECTIONS[name]]
        torch.testing.assert_close(
            part.values[order], block.values[rows], rtol=1e-13, atol=1e-13
        )


@pytest.mark.parametrize("name", SELECTIONS)
def test_sums_over_selected_atoms(selection_model, name):
    """Per system, a selection sums over its atoms; other systems have no row."""
    selection = SELECTIONS[name]
    names = list(selection_model.supported_outputs())
    full = predict(selection_model, MIXED, names, "atom")
    sums = predict(selection_model, MIXED, names, "system", selection)
    rows = [EVERY.index(pair) for pair in selection]
    systems = sorted({pair[0] for pair in selection})
    for output in names:
        block, result = full[output].block(), sums[output].block()
        assert result.samples.column("system").tolist() == systems
        expected = torch.zeros(len(MIXED), *block.values.shape[1:], dtype=torch.float64)
        expected = expected.index_add(
            0, block.samples.column("system").long()[rows], block.values[rows]
        )
        torch.testing.assert_close(result.values, expected[systems], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sample_kind", ["atom", "system"])
def test_selected_atoms_of_engines(selection_model, sample_kind):
    """metatomic agrees with the samples, for any selection; a selection of all atoms,
    which LAMMPS asks for, changes nothing.
    """
    exported = copy.deepcopy(selection_model).export()
    names = list(selection_model.supported_outputs())
    full = predict(exported, MIXED, names, sample_kind)
    for selection in SELECTIONS.values():
        results = predict(exported, MIXED, names, sample_kind, selection)
        if selection == EVERY:
            for name in names:
                mts.allclose_raise(results[name], full[name], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("sample_kind", ["atom", "system"])
def test_outputs(sample_kind):
    """Everything that is offered comes, with one row per atom or system."""
    model = fit(make_model({"energy": ENERGY, "mtt::dipole": DIPOLE}))
    assert set(model.supported_outputs()) == {
        "energy",
        "energy/short_range",
        "energy/long_range",
        "mtt::dipole",
        "feature",
        "mtt::aux::charges",
        "mtt::aux::potentials",
        "mtt::aux::energy_last_layer_features",
        "mtt::aux::dipole_last_layer_features",
    }
    num_rows = len(MIXED)
    if sample_kind == "atom":
        num_rows = sum(len(structure.species) for structure in MIXED)
    columns = {
        "energy": (1,),
        "mtt::dipole": (3, 1),
        "feature": (2 * 16,),
        "mtt::aux::charges": (10,),
        "mtt::aux::potentials": (10,),
        "mtt::aux::energy_last_layer_features": (2 * 16,),
        "mtt::aux::dipole_last_layer_features": (2 * 16,),
    }
    results = predict(model, MIXED, list(columns), sample_kind)
    assert set(results) == set(columns)
    for name, shape in columns.items():
        assert results[name].block().values.shape == (num_rows, *shape)


def test_outputs_without_long_range():
    model = make_model(long_range={"enable": False})
    assert set(model.supported_outputs()) == {
        "energy",
        "feature",
        "mtt::aux::energy_last_layer_features",
    }


def test_atoms_sum_to_systems():
    model = fit(make_model({"energy": ENERGY, "mtt::partial": PARTIAL}))
    names = ["energy", "mtt::partial", "feature", "mtt::aux::charges"]
    atoms = predict(model, MIXED, names, "atom")
    systems = predict(model, MIXED, names, "system")
    for name in names:
        block = atoms[name].block()
        expected = torch.zeros_like(systems[name].block().values).index_add(
            0, block.samples.column("system").long(), block.values
        )
        torch.testing.assert_close(
            systems[name].block().values, expected, rtol=1e-12, atol=1e-12
        )


def test_one_output_does_not_depend_on_others():
    model = fit(make_model({"energy": ENERGY, "mtt::dipole": DIPOLE}))
    names = list(model.supported_outputs())
    together = predict(model, MIXED, names)
    for name in names:
        assert mts.equal(predict(model, MIXED, [name])[name], together[name])


def test_zero_sums():
    """In units of the data, whatever the scales; the same in training and evaluation."""
    targets = {"energy": ENERGY, "mtt::apt": MATRIX}
    free, model = (
        fit(make_model(targets, zero_sum_targets=names)) for names in ([], ["mtt::apt"])
    )
    atoms, expected = (
        predict(m, MIXED, ["mtt::apt"], "atom")["mtt::apt"].block() for m in (model, free)
    )
    index = atoms.samples.column("system").long()
    sums = torch.zeros(len(MIXED), 3, 3, 1).double()
    sums = sums.index_add(0, index, expected.values)
    means = sums / torch.bincount(index).reshape(-1, 1, 1, 1)
    assert float(sums.detach().abs().max()) > 1e-2
    torch.testing.assert_close(
        atoms.values, expected.values - means[index], rtol=1e-13, atol=1e-13
    )
    systems = predict(model, MIXED, ["mtt::apt"])["mtt::apt"].block().values
    assert float(systems.detach().abs().max()) < 1e-13

    training = predict(model.train(), MIXED, ["mtt::apt", "energy"], "atom")
    scaled = model.scaler.apply_scales(
        [make_system(model, structure) for structure in MIXED], training
    )
    torch.testing.assert_close(
        scaled["mtt::apt"].block().values, atoms.values, rtol=1e-13, atol=1e-13
    )
    energies = predict(free.train(), MIXED, ["energy"], "atom")["energy"]
    mts.allclose_raise(training["energy"], energies, rtol=1e-14, atol=1e-14)
