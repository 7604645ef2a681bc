"""Energies far off all others are found, whatever their baseline, and no others."""

import pytest
import torch
from helpers.tiny_runs import warnings_of

from metatrain_lorem.training.outliers import Energies, tell_odd_energies


def energies(values, species):
    """Of structures with given numbers of atoms of each type."""
    labels = Energies()
    for i, (value, counts) in enumerate(zip(values, species, strict=True)):
        types = [z for z, number in counts.items() for _ in range(number)]
        labels.add(value, torch.tensor(types), f"frame {i}")
    return labels


def electrons(counts, noise):
    """All of them, in eV, and a part that a model learns."""
    atoms = {1: -13.6, 8: -2041.3, 79: -5.2e5}
    return sum(atoms[z] * number for z, number in counts.items()) + noise


SOME = [{1: 2 * i, 8: i} for i in range(1, 9)] + [{1: 2, 8: 2}, {1: 4}]


@pytest.mark.parametrize("value", [-1e9, 1e9, -1e6, 1e30])
def test_energy_that_is_far_off(value, caplog):
    values = [electrons(counts, 0.1 * i) for i, counts in enumerate(SOME)]
    values[4] = value
    names, typical = energies(values, SOME).odd()
    assert names == [f"frame 4 ({value:.6g})"]
    assert 1e-3 < typical < 1.0
    tell_odd_energies({"energy": energies(values, SOME)})
    (message,) = warnings_of(caplog)
    assert "away from a baseline, but more than 10000 times as much in frame 4" in message


def test_energies_that_are_ordinary():
    """Of any size, also of rare elements, without noise, or of one structure."""
    values = [electrons(counts, 0.1 * i) for i, counts in enumerate(SOME)]
    assert energies(values, SOME).odd()[0] == []
    with_gold = [*SOME, {79: 1, 8: 1}, {79: 2}]
    assert energies([*values, -5e5, -1e6], with_gold).odd()[0] == []
    exact = [electrons(counts, 0.0) for counts in SOME]
    assert energies(exact, SOME).odd()[0] == []
    assert energies([-3.0], [{1: 2}]).odd()[0] == []
    same = [-5.0 + 1e-3 * i for i in range(20)] + [2.0]  # a bond breaks
    assert energies(same, [{1: 2}] * 21).odd()[0] == []
