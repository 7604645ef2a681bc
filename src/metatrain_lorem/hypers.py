"""From metatrain's hyper-parameters to the arguments of the network."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from metatrain.utils.data import DatasetInfo

from .coulomb import CoulombSolver
from .coulomb.truncation import FINEST
from .documentation import LongRangeHypers, ModelHypers
from .network.reference import jax_binomial_errors, jax_solver


class Bound(NamedTuple):
    """Which numbers a hyper-parameter may be."""

    allows: Callable[[float], bool]
    words: str  # what it must be


def _whole(least: int, most: float = math.inf) -> Bound:
    upper = "" if most == math.inf else f" and at most {most}"
    return Bound(
        lambda value: isinstance(value, int) and least <= value <= most,
        f"a whole number of at least {least}{upper}",
    )


POSITIVE = Bound(lambda value: 0 < value < math.inf, "positive and finite")
NOT_NEGATIVE = Bound(lambda value: 0 <= value < math.inf, "at least 0 and finite")
FRACTION = Bound(lambda value: 0 <= value <= 1, "between 0 and 1")

# Those of `documentation.ModelHypers`, ... Upper bounds leave room for all experiments, but
# not for typing errors that take all memory: tables of the tensor product grow with the
# fifth power of the degree, and take a minute for 12.
MODEL_BOUNDS = {
    "cutoff": Bound(lambda value: 0 < value <= 100, "positive and at most 100"),
    "max_degree": _whole(0, 12),
    "num_features": _whole(1, 4096),
    "num_spherical_features": _whole(1, 512),
    "num_radial": _whole(1, 512),
    "num_species_features": _whole(1, 4096),
    "num_message_passing": _whole(0, 20),
    "max_charge": _whole(0, 1000),
    "max_spin_multiplicity": _whole(1, 1000),
}
# ... `documentation.LongRangeHypers` ...
LONG_RANGE_BOUNDS = {
    "max_degree": _whole(0),  # and at most that of the model
    "smearing": POSITIVE,
}
# ... and `documentation.TrainerHypers`
TRAINER_BOUNDS = {
    "batch_size": _whole(1),
    "max_atoms_per_batch": _whole(1),
    "min_atoms_per_batch": _whole(0),
    "num_epochs": _whole(0),
    "learning_rate": POSITIVE,
    "learning_rate_final": NOT_NEGATIVE,
    "warmup_fraction": FRACTION,
    "warmup_epochs": _whole(0),
    "weight_decay": NOT_NEGATIVE,
    "grad_clip_norm": POSITIVE,
    "grad_clip_value": POSITIVE,
    "log_interval": _whole(1),
    "checkpoint_interval": _whole(1),
}
# Not given by default: `None` is no number, but allowed
OPTIONAL = (
    *("smearing", "max_atoms_per_batch", "warmup_epochs"),
    *("grad_clip_norm", "grad_clip_value"),
)


def network_arguments(hypers: Mapping[str, Any], atomic_types: list[int]) -> dict[str, Any]:
    """Arguments of :class:`.network.Network`.

    :param hypers: see :class:`.documentation.ModelHypers`
    :param atomic_types: species of the data; those from 100 on extend the embedding
    :raises ValueError: for a value that makes no sense, naming key and value
    """
    check_hypers(hypers)
    long_range = hypers["long_range"]
    others = ("long_range", "zero_sum_targets")
    arguments = {key: value for key, value in hypers.items() if key not in others}
    cutoff = arguments["cutoff"] = float(hypers["cutoff"])
    smearing, accuracy = long_range["smearing"], long_range["accuracy"]
    smearing = None if smearing is None else float(smearing)
    if accuracy == "reference":
        arguments["solver"] = jax_solver(cutoff, smearing)
        arguments["binomial_errors"] = jax_binomial_errors(hypers["num_radial"])
    else:
        arguments["solver"] = CoulombSolver(cutoff, smearing, float(accuracy))
    return {
        **arguments,
        "long_range": bool(long_range["enable"]),
        "max_degree_lr": long_range["max_degree"],
        "fix_total_charge": bool(long_range["fix_total_charge"]),
        "num_species": max([99, *atomic_types]) + 1,
    }


def check_hypers(hypers: Mapping[str, Any]) -> None:
    """Refuse keys that are not known, and values that make no sense.

    :raises ValueError: naming key and value
    """
    _check_keys(hypers, ModelHypers, "")
    long_range = hypers["long_range"]
    _check_keys(long_range, LongRangeHypers, "long_range.")
    _check_bounds(hypers, MODEL_BOUNDS, "")
    _check_bounds(long_range, LONG_RANGE_BOUNDS, "long_range.")
    degree, accuracy = long_range["max_degree"], long_range["accuracy"]
    _check(
        degree <= hypers["max_degree"],
        "long_range.max_degree",
        degree,
        f"must be between 0 and max_degree ({hypers['max_degree']})",
    )
    _check(
        accuracy == "reference" or _is_between(accuracy, 1),
        "long_range.accuracy",
        accuracy,
        "must be between 0 and 1, or 'reference'",
    )
    _check(
        accuracy == "reference" or accuracy >= FINEST,
        "long_range.accuracy",
        accuracy,
        f"float64 holds no more than {FINEST}",
    )
    smearing, cutoff = long_range["smearing"], hypers["cutoff"]
    _check(
        smearing is None or smearing <= 0.5 * cutoff,
        "long_range.smearing",
        smearing,
        f"must be at most half of the cutoff ({cutoff}), where the real-space sum ends",
    )


def checked_zero_sums(hypers: Mapping[str, Any], dataset_info: DatasetInfo) -> list[str]:
    """The targets of ``zero_sum_targets``.

    :raises ValueError: for one that is unknown, or not a Cartesian target of atoms; scalars
        have a baseline, which is added after the network's part
    """
    names = list(hypers["zero_sum_targets"])
    known = [
        name
        for name, target in dataset_info.targets.items()
        if target.is_cartesian and target.sample_kind == "atom"
    ]
    for name in names:
        reason = f"the Cartesian targets given per atom are {known}"
        _check(name in known, "zero_sum_targets", name, reason)
    return names


def check_training_hypers(hypers: Mapping[str, Any], targets: list[str]) -> None:
    """Refuse values that make no sense; metatrain has checked keys and types.

    :param hypers: see :class:`.documentation.TrainerHypers`
    :param targets: names of the targets
    :raises ValueError: naming key and value
    """
    _check_bounds(hypers, TRAINER_BOUNDS, "")
    if hypers["schedule"] == "exponential":
        _check_bounds(hypers, {"learning_rate_final": POSITIVE}, "")
    for name in hypers["per_structure_targets"]:
        _check(name in targets, "per_structure_targets", name, f"targets are {targets}")


def _is_between(value: Any, upper: float) -> bool:
    """Whether this is a number above zero and below ``upper``."""
    return _is_number(value) and 0 < value < upper


def _is_number(value: Any) -> bool:
    """``True`` is none, although Python takes it for 1."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_bounds(
    hypers: Mapping[str, Any], bounds: Mapping[str, Bound], prefix: str
) -> None:
    for key, bound in bounds.items():
        value = hypers[key]
        holds = _is_number(value) and bound.allows(value)
        holds = holds or (value is None and key in OPTIONAL)
        _check(holds, prefix + key, value, f"must be {bound.words}")


def _check_keys(hypers: Mapping[str, Any], known: type, prefix: str) -> None:
    for key, value in hypers.items():
        if key not in known.__annotations__:
            raise ValueError(f"unknown hyper-parameter '{prefix}{key}' ({value!r})")


def _check(holds: bool, key: str, value: Any, reason: str) -> None:
    if not holds:
        raise ValueError(f"hyper-parameter '{key}' is {value!r}, but {reason}")
