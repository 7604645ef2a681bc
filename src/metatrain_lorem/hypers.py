"""From metatrain's hyper-parameters to the arguments of the network."""

import math
from collections.abc import Mapping
from typing import Any

from metatrain.utils.data import DatasetInfo

from .coulomb import CoulombSolver
from .documentation import LongRangeHypers, ModelHypers
from .network.reference import jax_binomial_errors, jax_solver


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
    smearing = cutoff / 4 if smearing is None else float(smearing)
    if accuracy == "reference":
        arguments["solver"] = jax_solver(cutoff, smearing)
        arguments["binomial_errors"] = jax_binomial_errors(hypers["num_radial"])
    else:
        arguments["solver"] = CoulombSolver(cutoff, smearing, float(accuracy))
    return {
        **arguments,
        "long_range": bool(long_range["enable"]),
        "max_degree_lr": long_range["max_degree"],
        "num_species": max([99, *atomic_types]) + 1,
    }


def check_hypers(hypers: Mapping[str, Any]) -> None:
    """Refuse keys that are not known, and values that make no sense.

    :raises ValueError: naming key and value
    """
    _check_keys(hypers, ModelHypers, "")
    long_range = hypers["long_range"]
    _check_keys(long_range, LongRangeHypers, "long_range.")
    at_least = {
        "max_degree": 0,
        "num_features": 1,
        "num_spherical_features": 1,
        "num_radial": 1,
        "num_species_features": 1,
        "num_message_passing": 0,
    }
    for key, least in at_least.items():
        value = hypers[key]
        holds = isinstance(value, int) and value >= least
        _check(holds, key, value, f"must be a whole number of at least {least}")
    cutoff, degree = hypers["cutoff"], long_range["max_degree"]
    smearing, accuracy = long_range["smearing"], long_range["accuracy"]
    _check(_is_between(cutoff, math.inf), "cutoff", cutoff, "must be positive and finite")
    _check(
        isinstance(degree, int) and 0 <= degree <= hypers["max_degree"],
        "long_range.max_degree",
        degree,
        f"must be between 0 and max_degree ({hypers['max_degree']})",
    )
    _check(
        smearing is None or _is_between(smearing, math.inf),
        "long_range.smearing",
        smearing,
        "must be positive and finite",
    )
    _check(
        accuracy == "reference" or _is_between(accuracy, 1),
        "long_range.accuracy",
        accuracy,
        "must be between 0 and 1, or 'reference'",
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
    at_least = {
        "batch_size": 1,
        "max_atoms_per_batch": 1,
        "min_atoms_per_batch": 0,
        "num_epochs": 0,
        "learning_rate_final": 0,
        "weight_decay": 0,
        "log_interval": 1,
        "checkpoint_interval": 1,
    }
    for key, least in at_least.items():
        value = hypers[key]
        _check(value is None or value >= least, key, value, f"must be at least {least}")
    positive = ["learning_rate", "grad_clip_norm", "grad_clip_value"]
    if hypers["schedule"] == "exponential":
        positive.append("learning_rate_final")
    for key in positive:
        value = hypers[key]
        holds = value is None or _is_between(value, math.inf)
        _check(holds, key, value, "must be positive and finite")
    fraction = hypers["warmup_fraction"]
    _check(0 <= fraction <= 1, "warmup_fraction", fraction, "must be between 0 and 1")
    for name in hypers["per_structure_targets"]:
        _check(name in targets, "per_structure_targets", name, f"targets are {targets}")


def _is_between(value: Any, upper: float) -> bool:
    """Whether this is a number above zero and below ``upper``."""
    return isinstance(value, int | float) and 0 < value < upper


def _check_keys(hypers: Mapping[str, Any], known: type, prefix: str) -> None:
    for key, value in hypers.items():
        if key not in known.__annotations__:
            raise ValueError(f"unknown hyper-parameter '{prefix}{key}' ({value!r})")


def _check(holds: bool, key: str, value: Any, reason: str) -> None:
    if not holds:
        raise ValueError(f"hyper-parameter '{key}' is {value!r}, but {reason}")
