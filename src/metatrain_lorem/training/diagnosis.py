"""Why a step failed, told as what it is."""

import math
from collections.abc import Callable

import torch
from metatensor.torch import TensorBlock
from metatomic.torch import System

from .batches import Batch
from .objective import Evaluation


def check_weights(model: torch.nn.Module, when: str, remedy: str) -> None:
    """Refuse weights that are not finite; they never become finite again.

    :param when: for the message, e.g. ``after epoch 3``
    :param remedy: what to do about it
    :raises RuntimeError: naming the first of them
    """
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise RuntimeError(f"the weights '{name}' are not finite {when}: {remedy}")


def explain_divergence(
    model: torch.nn.Module,
    batch: Batch,
    evaluation: Evaluation,
    name_of: Callable[[System], str],
) -> str:
    """The reason of a loss or gradient that is not finite, and what helps.

    :param batch: as it was read, with the structures in float64
    :param name_of: names the structures
    """
    names = [name_of(system) for system in batch[0]]
    broken = _broken_structures(evaluation)
    remedy = "set `grad_clip_norm` or `grad_clip_value`, or reduce `learning_rate`"
    try:
        remedy_of_weights = f"{remedy} or `weight_decay`"
        check_weights(model, "since the step before", remedy_of_weights)
    except RuntimeError as error:
        return str(error)
    if broken:
        which = ", ".join(names[i] for i in broken if i < len(names))
        return f"Predictions are not finite for {which}: check its positions; else {remedy}"
    text = "The loss is finite, but its gradients overflow"
    if not math.isfinite(evaluation.loss.item()):
        text = "Predictions are finite, but the loss overflows"
    return f"{text}. Structures of the batch: {', '.join(names)}. Check them, or {remedy}"


def _broken_structures(evaluation: Evaluation) -> list[int]:
    """Indices in the batch of structures with predictions that are not finite."""
    broken: set[int] = set()
    for prediction in evaluation.predictions.values():
        for block in prediction.blocks():
            samples = block.samples.column("system")
            broken.update(samples[_is_broken(block)].tolist())
            for _, gradient in block.gradients():
                rows = gradient.samples.column("sample")[_is_broken(gradient)]
                broken.update(samples[rows.long()].tolist())
    return sorted(broken)


def _is_broken(block: TensorBlock) -> torch.Tensor:
    values = block.values.detach()
    return ~torch.isfinite(values.reshape(len(values), -1)).all(dim=1)
