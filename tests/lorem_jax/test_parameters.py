"""Parameters under the names of lorem-jax."""

import numpy as np
import pytest
import torch
from helpers.parity_cases import CASES
from helpers.parity_tools import (
    empty_model,
    random_jax_parameters,
)

from metatrain_lorem.lorem_jax.parameters import (
    jax_parameters,
    jax_views,
    load_jax_parameters,
)


@pytest.mark.parametrize("case", CASES)
def test_views(case, predictions):
    """Every parameter is seen once, under the names of lorem-jax."""
    model = empty_model(CASES[case], "reference")
    views = jax_views(model.network, model.readout)
    parameters = random_jax_parameters(case, predictions)
    shapes = {path: values.shape for path, values in parameters.items()}
    assert {path: tuple(view.shape) for path, view in views.items()} == shapes
    for view in views.values():
        view.fill_(1.0)
    assert all(bool((p == 1.0).all()) for p in model.parameters())
    num_elements = sum(view.numel() for view in views.values())
    assert num_elements == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("case", ["default", "tiny", "messages-2"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_round_trip(case, dtype, predictions):
    model = empty_model(CASES[case], 1e-6).to(getattr(torch, dtype))
    parameters = {
        path: values.astype(dtype)
        for path, values in random_jax_parameters(case, predictions).items()
    }
    load_jax_parameters(model.network, model.readout, parameters)
    result = jax_parameters(model.network, model.readout)
    assert set(result) == set(parameters)
    for path, values in parameters.items():
        assert result[path].dtype == values.dtype
        np.testing.assert_array_equal(result[path], values)


def test_number_of_parameters():
    """The numbers of the paper's supplement."""
    for settings, number in [
        ({"lr": False}, 839129),
        ({"max_degree_lr": 0}, 1020300),
        ({"max_degree_lr": 1}, 1020749),
        ({}, 1021198),
    ]:
        model = empty_model(settings, 1e-6)
        assert sum(p.numel() for p in model.parameters()) == number


KERNEL = "params/Update_1/MLP_0/Dense_1/kernel"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop(KERNEL), f"has no parameter '{KERNEL}'"),
        (lambda p: p.update(extra=p[KERNEL]), "'extra' is not used by LOREM"),
        (
            lambda p: p.update({"batch_stats/x": p[KERNEL], "params/y": p[KERNEL]}),
            r"'batch_stats/x' \(and 1 more\) is not used",
        ),
        (lambda p: p.update({KERNEL: p[KERNEL].T}), f"'{KERNEL}' has the shape"),
        (lambda p: p.update({KERNEL: p[KERNEL].astype(int)}), f"'{KERNEL}' is int64"),
    ],
)
def test_wrong_parameters(change, message, predictions):
    model = empty_model(CASES["tiny"], 1e-6)
    parameters = random_jax_parameters("tiny", predictions)
    change(parameters)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=message):
        load_jax_parameters(model.network, model.readout, parameters)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
