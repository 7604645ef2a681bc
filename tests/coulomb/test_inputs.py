"""Arguments that make no sense are refused by name."""

import math

import pytest
import torch
from helpers.coulomb_cases import random_system

from metatrain_lorem.coulomb import CoulombSolver, Pairs, coulomb_potentials


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cutoff": 0.0}, "`cutoff` must be positive and finite, got 0.0"),
        ({"cutoff": -5.0}, "`cutoff` must be positive and finite, got -5.0"),
        ({"cutoff": math.nan}, "`cutoff` must be positive and finite, got nan"),
        ({"smearing": 0.0}, "`smearing` must be positive and finite, got 0.0"),
        ({"smearing": math.inf}, "`smearing` must be positive and finite, got inf"),
        ({"accuracy": 0.0}, "`accuracy` must be positive and below 1, got 0.0"),
        ({"accuracy": -1e-6}, "`accuracy` must be positive and below 1, got -1e-06"),
        ({"accuracy": 2.0}, "`accuracy` must be positive and below 1, got 2.0"),
        ({"accuracy": 1e-300}, "`accuracy` must be at least 1e-13, as float64 holds no mo"),
        ({"accuracy": "high"}, "`accuracy` must be a number, got 'high'"),
        ({"cutoff": "5"}, "`cutoff` must be a number, got '5'"),
        ({"memory": -1}, "`memory` must be positive and finite, got -1"),
        ({"method": "p3m"}, "`method` must be 'auto', 'ewald' or 'mesh', got 'p3m'"),
    ],
)
def test_settings(arguments, message):
    arguments = {"cutoff": 5.0, "smearing": 1.0, **arguments}
    with pytest.raises(ValueError, match=message):
        CoulombSolver(**arguments)
    with pytest.raises(ValueError, match=message):
        coulomb_potentials(*random_system(), **arguments)


def test_vacuum():
    with pytest.raises(ValueError, match="`vacuum` must be positive and finite, got -3.0"):
        CoulombSolver(5.0, 1.0, vacuum=-3.0)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("positions", lambda x: x[:, :2], r"a tensor of shape \[N, 3\], got .* \[10, 2\]"),
        ("positions", lambda x: x.long(), "floating-point type, got torch.int64"),
        ("charges", lambda x: x[:, 0], r"a 2-dimensional tensor, got .* \[10\]"),
        ("charges", lambda x: x[1:], r"a tensor of shape \[10, 2\], got .* \[9, 2\]"),
        ("charges", lambda x: x.float(), "must be torch.float64, got torch.float32"),
        ("charges", lambda x: x.to("meta"), "on the device of `positions`, cpu, got meta"),
        ("cell", lambda x: x[None], r"a tensor of shape \[3, 3\], got .* \[1, 3, 3\]"),
        ("cell", lambda x: x.float(), "must be torch.float64, got torch.float32"),
        ("pbc", lambda x: x[:2], r"a tensor of shape \[3\], got .* \[2\]"),
        ("pbc", lambda x: x.long(), "must be torch.bool, got torch.int64"),
        ("positions", lambda x: x * math.nan, "must be finite"),
        ("charges", lambda x: x / 0, "must be finite"),
        ("positions", lambda x: x.numpy(), "must be a tensor, got ndarray"),
        ("cell", lambda x: x.tolist(), "must be a tensor, got list"),
        ("pbc", lambda x: True, "must be a tensor, got bool"),
    ],
)
def test_one_system(name, change, message):
    inputs = random_system(num_atoms=10)._asdict()
    inputs[name] = change(inputs[name])
    with pytest.raises(ValueError, match=f"`{name}` .*{message}"):
        coulomb_potentials(**inputs, cutoff=5.0)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("charges", lambda x: x[:, 0], r"a 2-dimensional tensor, got .* \[10\]"),
        ("cells", lambda x: x[0], r"a tensor of shape \[S, 3, 3\], got .* \[3, 3\]"),
        ("cells", lambda x: x.float(), "must be torch.float64, got torch.float32"),
        ("pbc", lambda x: x[0], r"a tensor of shape \[1, 3\], got .* \[3\]"),
        ("systems", lambda x: x[1:], r"a tensor of shape \[10\], got .* \[9\]"),
        ("systems", lambda x: x.int(), "must be torch.int64, got torch.int32"),
        ("systems", lambda x: x + 1, "below the number of cells, 1, got 1"),
        ("systems", lambda x: x - 1, "must be sorted and not negative"),
        ("pairs.centers", lambda x: x[1:], r"a tensor of shape \[4\], got .* \[3\]"),
        ("pairs.neighbors", lambda x: x[:, 0], r"a 2-dimensional tensor, got .* \[4\]"),
        ("pairs.distances", lambda x: x[:, 0], r"of shape \[4, 1\], got .* \[4\]"),
        ("pairs.distances", lambda x: x.float(), "must be torch.float64"),
    ],
)
@pytest.mark.parametrize("scripted", [False, True])
def test_batch(name, change, message, scripted):
    system = random_system(num_atoms=10)
    inputs = {
        "positions": system.positions,
        "charges": system.charges,
        "cells": system.cell[None],
        "pbc": system.pbc[None],
        "systems": torch.zeros(10, dtype=torch.int64),
        "pairs.centers": torch.arange(4),
        "pairs.neighbors": torch.arange(4).unsqueeze(1),
        "pairs.distances": torch.ones(4, 1, dtype=torch.float64),
    }
    inputs[name] = change(inputs[name])
    *tensors, i, j, distances = inputs.values()
    solver = CoulombSolver(5.0, 1.0)
    if scripted:  # numbers stand for types there
        solver, message = torch.jit.script(solver), message.split("torch.")[0]
    error = torch.jit.Error if scripted else ValueError
    with pytest.raises(error, match=f"`{name}` .*{message}"):
        solver(*tensors, Pairs(i, j, distances))


def test_settings_are_shown():
    text = repr(CoulombSolver(5.0, 1.25, accuracy=1e-7, memory=2**20))
    for setting in ("cutoff=5", "smearing=1.25", "accuracy=1e-07", "1 MiB", "method=auto"):
        assert setting in text


def test_atom_far_away():
    """The neighbor list would end Python, by a division by zero."""
    inputs = random_system(num_atoms=10)._asdict()
    inputs["pbc"] = torch.tensor([False] * 3)
    inputs["positions"][3, 2] += 1e7
    with pytest.raises(ValueError, match=r"atom 3 .from 0. is 1e\+07 away from the others"):
        coulomb_potentials(**inputs, cutoff=5.0)
    inputs["positions"][3] = torch.tensor([6000.0, 6000.0, 0.0])
    with pytest.raises(ValueError, match="too wide and too thin"):
        coulomb_potentials(**inputs, cutoff=5.0)
