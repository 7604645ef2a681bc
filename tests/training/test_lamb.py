"""LAMB, against ``optax.lamb``."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_runs import assert_same_weights, data, go_on, run
from helpers.training_tools import small_model

from metatrain_lorem.network.tensor_product import DegreeLinear
from metatrain_lorem.training.lamb import Lamb


# Made by `make_lamb.py` beside it
STEPS = np.load(Path(__file__).parents[1] / "helpers" / "lorem_jax" / "lamb.npz")
NAMES = ("matrix", "bias", "stack", "product")


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_ten_steps_of_optax(weight_decay, dtype):
    """Matrices, a bias that starts from zero, and stacks of matrices, one of them zero."""
    start = {name: torch.tensor(STEPS[f"{name}/start"], dtype=dtype) for name in NAMES}
    parameters = {name: torch.nn.Parameter(value) for name, value in start.items()}
    optimizer = Lamb(parameters.values(), lr=0.01, weight_decay=weight_decay)
    tolerance = 1e-14 if dtype == torch.float64 else 2e-6
    for step in range(10):
        for name, parameter in parameters.items():
            gradient = STEPS[f"{name}/gradients"][step]
            parameter.grad = torch.tensor(gradient, dtype=dtype)
        optimizer.step()
        for name, parameter in parameters.items():
            expected = STEPS[f"{name}/{weight_decay}"][step]
            np.testing.assert_allclose(
                parameter.detach().double().numpy(), expected, rtol=0, atol=tolerance
            )


def test_stacks_are_those_of_spherical_features():
    """lorem-jax has one array per degree there, and arrays of our shape everywhere else."""
    model = small_model({}, [1, 8], num_message_passing=1)
    stacks = {
        id(module.weight) for module in model.modules() if isinstance(module, DegreeLinear)
    }
    assert stacks
    assert stacks == {id(p) for p in model.parameters() if p.ndim == 3}


def test_parameters_without_gradient_stay():
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = Lamb(parameters, lr=0.1)
    parameters[0].grad = torch.ones(2)
    optimizer.step()
    assert bool((parameters[0] < 1).all())
    assert bool((parameters[1] == 1).all())


def test_restart(tmp_path):
    """Repeats the steps of an uninterrupted run, bit for bit."""
    training = data(1, 2, 3, 4)
    options = {"optimizer": "LAMB", "best_model_metric": "r2_sum", "warmup_epochs": 1}
    whole, trainer = run(training, folder=tmp_path, **options, checkpoint_interval=1)
    checkpoint = tmp_path / "model_1.ckpt"
    restarted, again = go_on(checkpoint, training, training, **options)
    assert_same_weights(whole, restarted)
    assert again.best_metric == trainer.best_metric
    assert again.best_epoch == trainer.best_epoch
