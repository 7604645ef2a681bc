"""Outputs of some of the atoms, while all of them interact."""

import copy

import metatensor.torch as mts
import pytest
import torch
from helpers.lorem_models import (
    DIPOLE,
    ENERGY,
    MIXED,
    PARTIAL,
    fit,
    make_model,
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
