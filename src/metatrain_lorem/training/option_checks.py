"""Options of the training that make no sense together, or have no effect."""

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .data_checks import Inspection


def check_options(hypers: Mapping[str, Any]) -> None:
    """Refuse numbers that spoil any training.

    :param hypers: see :class:`~metatrain_lorem.documentation.TrainerHypers`
    :raises ValueError: naming key and value
    :raises FileNotFoundError: for a file that does not exist
    """
    workers = hypers["num_workers"]
    _check(workers is None or workers >= 0, "num_workers", workers, "must be at least 0")
    for key, value in _leaves(hypers["loss"], "loss"):
        if key.endswith(".weight"):
            holds = isinstance(value, int | float) and 0 <= value < math.inf
            _check(holds, key, value, "must be a finite number of at least 0")
    for key in ("atomic_baseline", "fixed_scaling_weights"):
        content = hypers[key]
        if isinstance(content, str):
            if not Path(content).is_file():
                raise FileNotFoundError(
                    f"`{key}` names the file '{content}', which does not exist"
                )
            continue
        for name, value in _leaves(content, key):
            _check(math.isfinite(value), name, value, "must be finite")
            if key == "fixed_scaling_weights":
                _check(value > 0, name, value, "must be positive: labels are divided by it")


def tell_without_effect(hypers: Mapping[str, Any]) -> None:
    """Warn of options that change nothing as they are combined, each once."""
    reasons = {
        "min_atoms_per_batch": (
            hypers["min_atoms_per_batch"] > 0 and hypers["max_atoms_per_batch"] is None,
            "without `max_atoms_per_batch`",
        ),
        "fixed_scaling_weights": (
            bool(hypers["fixed_scaling_weights"]) and not hypers["scale_targets"],
            "without `scale_targets: true`",
        ),
        "inherit_heads": (
            bool(hypers["finetune"]["inherit_heads"])
            and hypers["finetune"]["read_from"] is None,
            "without `finetune.read_from`",
        ),
    }
    for key, (holds, why) in reasons.items():
        if holds:
            logging.warning(f"`{key}` has no effect {why}")
    first, last = hypers["learning_rate"], hypers["learning_rate_final"]
    if hypers["schedule"] != "constant" and last > first:
        logging.warning(
            f"`learning_rate_final` ({last:g}) is above `learning_rate` ({first:g}): the "
            "learning rate will rise until the end"
        )


def check_batch_sizes(hypers: Mapping[str, Any], training: Inspection) -> None:
    """Structures that fit in no batch are told; that none fits is refused.

    :raises ValueError: naming the smallest structure
    """
    limit = hypers["max_atoms_per_batch"]
    if limit is None or not training.sizes:
        return
    smallest, name = min(training.sizes)
    _check(
        smallest <= limit,
        "max_atoms_per_batch",
        limit,
        f"the smallest structure ({name}) has {smallest} atoms",
    )
    too_large = [f"{name} ({size} atoms)" for size, name in training.sizes if size > limit]
    if too_large:
        logging.warning(
            f"Not learned, as they exceed `max_atoms_per_batch` ({limit}): "
            f"{len(too_large)} structures, the first {too_large[0]}"
        )


def _leaves(content: Any, path: str) -> Iterable[tuple[str, Any]]:
    """Values of nested dictionaries, with their keys joined by dots."""
    if not isinstance(content, Mapping):
        yield path, content
        return
    for key, value in content.items():
        yield from _leaves(value, f"{path}.{key}")


def _check(holds: bool, key: str, value: Any, reason: str) -> None:
    if not holds:
        raise ValueError(f"hyper-parameter '{key}' is {value!r}, but {reason}")
