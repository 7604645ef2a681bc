"""Why a step failed, told as what it is."""

import math
from collections.abc import Callable

import torch
from metatomic.torch import System

from .batch import Batch
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
    names = [name_of(batch.system(i)) for i in range(len(batch.num_atoms))]
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
    of_atoms = evaluation.batch.graph.systems
    for blocks in evaluation.predictions.values():
        for block in blocks:
            for part in (block, *block.parts.values()):
                is_finite = torch.isfinite(part.values.detach()).flatten(1).all(dim=1)
                rows = torch.nonzero(~is_finite).flatten()
                # Rows are atoms or structures
                is_of_atoms = len(is_finite) == len(of_atoms)
                broken.update((of_atoms[rows] if is_of_atoms else rows).tolist())
    return sorted(broken)
