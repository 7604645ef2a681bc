"""Optimizers and learning-rate schedules."""

import logging
import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.systems import crystal, molecule
from helpers.training_tools import (
    dimers,
    energy_info,
    make_dataset,
    small_model,
    target_info,
    train,
    training_hypers,
    types_of,
    with_muon,
)

from metatrain_lorem.trainer import Trainer
from metatrain_lorem.training.optimization import (
    build_optimizers,
    learning_rate,
    restore_optimizers,
)


RATES = {"learning_rate": 1e-3, "learning_rate_final": 1e-6, "warmup_epochs": None}
OPTIMIZER = {"learning_rate": 1e-3, "weight_decay": 0.01}


# --- schedules --------------------------------------------------------------------------


def rates(schedule: str, num_steps: int, warmup_fraction: float) -> np.ndarray:
    hypers = {**RATES, "schedule": schedule, "warmup_fraction": warmup_fraction}
    steps = range(num_steps + 1)
    return np.array([learning_rate(step, num_steps, hypers) for step in steps])


DECAYS = {
    "linear": np.linspace(1e-3, 1e-6, 181),
    "exponential": np.geomspace(1e-3, 1e-6, 181),
    "warmup_cosine": 1e-6 + 0.999e-3 * np.cos(np.linspace(0, math.pi / 2, 181)) ** 2,
    "constant": np.full(181, 1e-3),
}


@pytest.mark.parametrize("schedule", DECAYS)
def test_schedules(schedule):
    """20 steps of warm-up, then 180 steps of decay."""
    warmup = np.full(20, 1e-3)
    if schedule == "warmup_cosine":
        warmup = np.linspace(1e-6, 1e-3, 20, endpoint=False)
    expected = np.concatenate([warmup, DECAYS[schedule]])
    np.testing.assert_allclose(rates(schedule, 200, 0.1), expected, rtol=1e-12)


# From optax 0.2 in float64, called as lorem-jax does: decay from 1e-3 to 1e-6 between
# steps 20 and 200, values of `linear_schedule`, `exponential_decay` and
# `warmup_cosine_decay_schedule` at the given steps
STEPS = [0, 7, 20, 21, 63, 110, 199]
OPTAX = {
    "linear": [1e-3, 1e-3, 1e-3, 9.9445e-4, 7.6135e-4, 5.005e-4, 6.55e-6],
    "exponential": [
        1e-3,
        1e-3,
        1e-3,
        9.623506263980886e-4,
        1.9201419386388017e-4,
        3.1622776601683795e-5,
        1.039122303835169e-6,
    ],
    "warmup_cosine": [
        1e-6,
        3.5065e-4,
        1e-3,
        9.999239237306174e-4,
        8.658111739587757e-4,
        5.005e-4,
        1.076076269382561e-6,
    ],
}


@pytest.mark.parametrize("schedule", OPTAX)
def test_schedules_of_lorem_jax(schedule):
    result = rates(schedule, 200, 0.1)[STEPS]
    np.testing.assert_allclose(result, OPTAX[schedule], rtol=1e-12)


def test_decay_from_an_epoch():
    """Ten of 40 epochs, whatever the share is."""
    hypers = {**RATES, "schedule": "linear", "warmup_fraction": 0.9, "num_epochs": 40}
    found = [learning_rate(i, 200, {**hypers, "warmup_epochs": 10}) for i in range(200)]
    assert found == pytest.approx(list(rates("linear", 200, 0.25)[:200]))
    assert learning_rate(199, 200, {**hypers, "warmup_epochs": 50}) == 1e-3


@pytest.mark.parametrize("schedule", DECAYS)
@pytest.mark.parametrize("warmup_fraction", [0.0, 1.0])
@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_short_schedules(schedule, warmup_fraction, num_steps):
    result = rates(schedule, num_steps, warmup_fraction)
    assert bool(np.isfinite(result).all())
    assert (result >= 1e-6 * (1 - 1e-12)).all()
    assert (result <= 1e-3).all()


def test_rates_while_training(monkeypatch):
    """Each step has its own rate, over all batches and epochs."""
    used = []
    step = torch.optim.Adam.step

    def recording(optimizer: torch.optim.Adam, *arguments: Any) -> Any:
        used.append(optimizer.param_groups[0]["lr"])
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", recording)
    dataset, targets = dimers(6)
    hypers = training_hypers(
        targets,
        num_epochs=3,
        batch_size=2,
        schedule="warmup_cosine",
        warmup_fraction=0.4,
    )
    trainer = Trainer(hypers)
    train(small_model(targets, types_of(dataset)), trainer, [dataset], [dataset])
    expected = [learning_rate(i, 9, hypers) for i in range(9)]
    assert used == pytest.approx(expected, rel=1e-12)
    assert max(used) == 1e-3


# --- optimizers -------------------------------------------------------------------------


def model_of_several_targets() -> torch.nn.Module:
    targets = {
        "energy": energy_info(),
        "mtt::dipole": target_info("mtt::dipole", {"cartesian": {"rank": 1}}, "system"),
    }
    return small_model(targets, [1, 8], num_message_passing=1)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("Adam", ["Adam"]),
        ("AdamW", ["AdamW"]),
        ("LAMB", ["Lamb"]),
        pytest.param("Muon", ["Muon", "AdamW"], marks=with_muon),
    ],
)
def test_optimizers_share_the_parameters(name, classes):
    """Each trainable parameter has exactly one optimizer; Muon takes matrices."""
    model = model_of_several_targets()
    model.network.species.weight.requires_grad_(False)
    optimizers = build_optimizers(model, {**OPTIMIZER, "optimizer": name})
    assert [type(optimizer).__name__ for optimizer in optimizers] == classes
    groups = [optimizer.param_groups[0]["params"] for optimizer in optimizers]
    ids = [id(p) for group in groups for p in group]
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert len(ids) == len(set(ids)) == len(trainable)
    assert set(ids) == {id(p) for p in trainable}
    if name == "Muon":
        assert {p.ndim for p in groups[0]} == {2}
        assert 2 not in {p.ndim for p in groups[1]}
        assert {p.ndim for p in groups[1]} >= {1}
    for optimizer in optimizers:
        assert optimizer.defaults["weight_decay"] == 0.01
        if type(optimizer).__name__ in ("Adam", "AdamW"):
            assert optimizer.defaults["betas"] == (0.9, 0.999)
            assert optimizer.defaults["eps"] == 1e-8
            assert optimizer.defaults["fused"] is True


def test_muon_needs_a_recent_torch(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ValueError, match="'Muon' requires torch 2.9"):
        build_optimizers(model_of_several_targets(), {**OPTIMIZER, "optimizer": "Muon"})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_adam(dtype):
    """torch's fast variant for CPUs follows Adam's formula."""
    start = torch.linspace(-1, 1, 7, dtype=dtype)
    model = torch.nn.ParameterList([start.clone()])
    options = {"learning_rate": 1e-2, "weight_decay": 0.0, "optimizer": "Adam"}
    (optimizer,) = build_optimizers(model, options)
    values = start.double()
    first, second = torch.zeros_like(values), torch.zeros_like(values)
    for step in range(1, 6):
        gradient = (values - 0.3) ** 3
        model[0].grad = ((model[0].detach() - 0.3) ** 3).clone()
        optimizer.step()
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        mean, square = first / (1 - 0.9**step), second / (1 - 0.999**step)
        values = values - 1e-2 * mean / (square.sqrt() + 1e-8)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(model[0].detach().double(), values, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["Adam", pytest.param("Muon", marks=with_muon)])
def test_state_is_restored(name, caplog):
    options = {**OPTIMIZER, "optimizer": name}
    model = model_of_several_targets()
    optimizers = build_optimizers(model, options)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for optimizer in optimizers:
        optimizer.step()
    states = [optimizer.state_dict() for optimizer in optimizers]
    others = build_optimizers(model, options)
    restore_optimizers(others, states)
    assert [len(o.state) for o in others] == [len(o.state) for o in optimizers]
    assert caplog.text == ""


@with_muon
@pytest.mark.parametrize(("before", "after"), [("Adam", "Muon"), ("Muon", "Adam")])
def test_other_optimizer_starts_anew(before, after, caplog):
    """Also after a restart with new targets, and so with more parameters."""
    model = model_of_several_targets()
    options = {**OPTIMIZER, "optimizer": before}
    states = [o.state_dict() for o in build_optimizers(model, options)]
    others = build_optimizers(model, {**OPTIMIZER, "optimizer": after})
    with caplog.at_level(logging.WARNING):
        restore_optimizers(others, states)
    assert "starts anew" in caplog.text
    assert all(len(optimizer.state) == 0 for optimizer in others)


# --- clipping ---------------------------------------------------------------------------


def gradients_of_training(monkeypatch: Any, **options: Any) -> torch.Tensor:
    """All gradients as the optimizer of the first step sees them."""
    seen = []

    def step(optimizer: torch.optim.Adam, *arguments: Any) -> None:
        parameters = optimizer.param_groups[0]["params"]
        seen.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    targets = {"energy": energy_info(gradients=("positions",))}
    dataset = make_dataset([molecule(), crystal()], targets)
    model = small_model(targets, types_of(dataset))
    trainer = Trainer(training_hypers(targets, batch_size=2, **options))
    train(model, trainer, [dataset], [dataset], dtype=torch.float64)
    return seen[0]


def test_clipping(monkeypatch):
    full = gradients_of_training(monkeypatch)
    norm, largest = float(full.norm()), float(full.abs().max())

    clipped = gradients_of_training(monkeypatch, grad_clip_norm=0.1 * norm)
    torch.testing.assert_close(clipped, 0.1 * full, rtol=1e-5, atol=0)
    unclipped = gradients_of_training(monkeypatch, grad_clip_norm=2 * norm)
    torch.testing.assert_close(unclipped, full, rtol=1e-12, atol=0)

    # as `optax.clip`, element by element
    limit = 0.1 * largest
    clipped = gradients_of_training(monkeypatch, grad_clip_value=limit)
    torch.testing.assert_close(clipped, full.clamp(-limit, limit), rtol=1e-12, atol=0)
    assert int((clipped != full).sum()) > 1
