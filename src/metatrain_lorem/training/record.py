"""What a model was trained and judged on, kept in its checkpoints.

A restart compares it with the present data and options, so that nothing is taken for
granted that has changed.
"""

import heapq
import json
import logging
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, TypedDict

from metatrain.utils.data import TargetInfo
from omegaconf import OmegaConf

from .data_checks import Inspection


# So many of the training structures are remembered: those of the smallest fingerprints,
# which are a random sample. Another sample would do, but not the first structures.
SKETCH = 256
# Hyper-parameters of which a trained model keeps what it began with
KEPT = ("atomic_baseline", "scale_targets", "fixed_scaling_weights")
# What the error of the best model refers to
JUDGES = {
    "validation": "validation structures or labels",
    "targets": "targets",
    "atomic_types": "atomic types",
    "loss": "`loss`",
    "metric": "`best_model_metric`",
}


class Record(TypedDict):
    """See the module; all values are plain, for checkpoints that execute nothing."""

    validation: str
    targets: str
    atomic_types: str
    loss: str
    metric: str
    training: list[int]  # fingerprints of some structures
    options: str  # file that continues the run


def make_record(
    training: Inspection,
    validation: Inspection,
    targets: Mapping[str, TargetInfo],
    atomic_types: list[int],
    hypers: Mapping[str, Any],
    options_file: str,
    old: Record | None = None,
) -> Record:
    """The record of this run.

    :param options_file: file that continues it
    :param old: that of the run before, whose training structures stay known
    """
    described = {
        name: [info.quantity, info.unit, info.sample_kind, sorted(info.gradients)]
        for name, info in targets.items()
    }
    trained = old["training"] if old is not None else []
    labelled = str(sorted(validation.labelled))
    loss = [hypers["loss"], sorted(hypers["per_structure_targets"])]
    return Record(
        validation=blake2b(labelled.encode(), digest_size=8).hexdigest(),
        targets=json.dumps(described, sort_keys=True),
        atomic_types=json.dumps(sorted(atomic_types)),
        loss=json.dumps(loss, sort_keys=True, default=OmegaConf.to_container),
        metric=hypers["best_model_metric"],
        training=heapq.nsmallest(SKETCH, {*training.structures, *trained}),
        options=options_file,
    )


def what_changed(old: Record, new: Record) -> list[str]:
    """In words, what the best model of a checkpoint was not judged on."""
    return [
        words
        for key, words in JUDGES.items()
        if old[key] != new[key]  # type: ignore[literal-required]
    ]


def tell_trained_on(trained: list[int], validation: Inspection, what: str) -> None:
    """Warn if validation structures have been trained on.

    :param trained: the smallest fingerprints of the training structures
    :param what: what happened to these structures, and what to do about it
    """
    known = set(trained)
    # Larger fingerprints may belong to training structures that are not remembered.
    limit = max(known, default=0) if len(known) == SKETCH else 2**64
    tested = [f for f in validation.structures if f <= limit]
    common = [f for f in tested if f in known]
    if common:
        logging.warning(
            f"About {len(common) / len(tested):.0%} of the validation structures {what}. "
            f"One is {validation.structures[common[0]]}"
        )


def tell_ignored_options(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Warn of changed options that a trained model does not follow."""
    for key in KEPT:
        if key in old and old[key] != new[key]:
            logging.warning(
                f"`{key}` is now {new[key]!r}, but has no effect: the model keeps what it "
                f"began with ({old[key]!r}), which all of its weights refer to. New "
                "targets and atomic types do follow it"
            )
