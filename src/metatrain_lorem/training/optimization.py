"""Optimizers and learning-rate schedules of lorem-jax."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch

from .lamb import Lamb


def build_optimizers(
    model: torch.nn.Module, hypers: Mapping[str, Any]
) -> list[torch.optim.Optimizer]:
    """Optimizers of the trainable parameters, together covering each of them once.

    ``Muon`` is defined for matrices; all other parameters are left to AdamW, like in
    ``optax.contrib.muon``. The moments of Adam are those of optax and torch alike:
    betas 0.9 and 0.999, epsilon 1e-8.

    :param hypers: ``optimizer``, ``learning_rate`` and ``weight_decay``
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    options = {"lr": hypers["learning_rate"], "weight_decay": hypers["weight_decay"]}
    # `fused`: on CPUs, torch's default takes five times longer for a million parameters
    if hypers["optimizer"] == "Adam":
        return [torch.optim.Adam(parameters, fused=True, **options)]
    if hypers["optimizer"] == "AdamW":
        return [torch.optim.AdamW(parameters, fused=True, **options)]
    if hypers["optimizer"] == "LAMB":
        return [Lamb(parameters, **options)]
    if not hasattr(torch.optim, "Muon"):
        raise ValueError("the optimizer 'Muon' requires torch 2.9 or later")
    matrices = [p for p in parameters if p.ndim == 2]
    others = [p for p in parameters if p.ndim != 2]
    return [
        torch.optim.Muon(matrices, **options),
        torch.optim.AdamW(others, fused=True, **options),
    ]


def restore_optimizers(
    optimizers: list[torch.optim.Optimizer], states: list[dict[str, Any]]
) -> None:
    """Continue from ``states``, unless the parameters or the optimizer are others.

    Options such as the weight decay are those of ``optimizers``, not those of before.
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    old_groups = [group for state in states for group in state["param_groups"]]
    sizes, old_sizes = ([len(g["params"]) for g in all] for all in (groups, old_groups))
    if sizes != old_sizes:
        logging.warning("The optimizer starts anew, as its parameters are others")
        return
    for optimizer, state in zip(optimizers, states):
        options = [
            {k: v for k, v in group.items() if k != "params"}
            for group in optimizer.param_groups
        ]
        optimizer.load_state_dict(state)
        for group, own in zip(optimizer.param_groups, options):
            group.update(own)


def optimize(
    optimizers: list[torch.optim.Optimizer],
    loss: torch.Tensor,
    rate: float,
    hypers: Mapping[str, Any],
    is_distributed: bool,
) -> float:
    """One step at learning rate ``rate``, left out if it would diverge.

    :param hypers: ``grad_clip_norm`` and ``grad_clip_value``
    :return: norm of the gradients before clipping, the same in all processes
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    parameters = [parameter for group in groups for parameter in group["params"]]
    if is_distributed or not loss.requires_grad:
        # Processes wait for the gradient of every parameter, used or not; and a
        # batch may hold structures without any targets.
        loss = loss + 0.0 * sum(p.sum() for p in parameters)
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    norm = _clipped_norm(parameters, hypers["grad_clip_norm"]).item()
    if hypers["grad_clip_value"] is not None:
        torch.nn.utils.clip_grad_value_(parameters, hypers["grad_clip_value"])
    if math.isfinite(norm):
        for group in groups:
            group["lr"] = rate
        for optimizer in optimizers:
            optimizer.step()
    return norm


def _clipped_norm(
    parameters: list[torch.nn.Parameter], max_norm: float | None
) -> torch.Tensor:
    """Norm of all gradients, before they are clipped to ``max_norm``."""
    gradients = [p.grad.flatten() for p in parameters if p.grad is not None]
    if max_norm is None and gradients:  # torch would multiply all of them by one
        return torch.linalg.vector_norm(torch.cat(gradients))
    return torch.nn.utils.clip_grad_norm_(parameters, max_norm or math.inf)


def learning_rate(step: int, num_steps: int, hypers: Mapping[str, Any]) -> float:
    r"""Learning rate of optimizer step ``step`` (from 0) out of ``num_steps``.

    With the initial and final rates :math:`a` and :math:`b`, and :math:`x` running
    from 0 to 1 between the end of the warm-up and the last step:

    ===================  ==========================================
    ``constant``         :math:`a`
    ``linear``           :math:`a + (b - a) x`
    ``exponential``      :math:`a (b / a)^x`
    ``warmup_cosine``    :math:`b + (a - b) (1 + \cos \pi x) / 2`
    ===================  ==========================================

    During the warm-up, ``warmup_cosine`` rises linearly from ``b`` to ``a``, all others
    stay at ``a``. Same values as the schedules of optax in lorem-jax.

    :param hypers: ``learning_rate`` (a), ``learning_rate_final`` (b), ``schedule`` and
        the length of the warm-up: ``warmup_fraction``, its share in all steps, or
        ``warmup_epochs`` out of ``num_epochs``
    """
    first, last = hypers["learning_rate"], hypers["learning_rate_final"]
    schedule = hypers["schedule"]
    warmup = hypers["warmup_fraction"]
    if hypers["warmup_epochs"] is not None:
        warmup = min(hypers["warmup_epochs"] / hypers["num_epochs"], 1.0)
    warmup_steps = round(warmup * num_steps)
    if schedule == "constant":
        return first
    if step < warmup_steps:
        rises = schedule == "warmup_cosine"
        return last + (first - last) * step / warmup_steps if rises else first
    x = min((step - warmup_steps) / max(num_steps - warmup_steps, 1), 1.0)
    if schedule == "linear":
        return first + (last - first) * x
    if schedule == "exponential":
        return first * (last / first) ** x
    return last + (first - last) * (1 + math.cos(math.pi * x)) / 2
