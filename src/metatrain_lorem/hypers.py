"""From metatrain's hyper-parameters to the arguments of the network."""

from collections.abc import Mapping
from typing import Any


def network_arguments(hypers: Mapping[str, Any], atomic_types: list[int]) -> dict[str, Any]:
    """Arguments of :class:`.network.Network`.

    :param hypers: see :class:`.documentation.ModelHypers`
    :param atomic_types: species of the data; those from 100 on extend the embedding
    :raises ValueError: for a value that makes no sense, naming key and value
    """
    check_hypers(hypers)
    long_range = hypers["long_range"]
    arguments = {key: value for key, value in hypers.items() if key != "long_range"}
    arguments["cutoff"] = float(hypers["cutoff"])
    accuracy = long_range["accuracy"]
    return {
        **arguments,
        "long_range": bool(long_range["enable"]),
        "max_degree_lr": long_range["max_degree"],
        "smearing": long_range["smearing"],
        "accuracy": 0.0 if accuracy == "reference" else float(accuracy),
        "num_species": max([99, *atomic_types]) + 1,
    }


def check_hypers(hypers: Mapping[str, Any]) -> None:
    """Refuse values that make no sense.

    :raises ValueError: naming key and value
    """
    long_range = hypers["long_range"]
    smearing, accuracy = long_range["smearing"], long_range["accuracy"]
    at_least = {
        "max_degree": 0,
        "num_features": 1,
        "num_spherical_features": 1,
        "num_radial": 1,
        "num_species_features": 1,
        "num_message_passing": 0,
    }
    for key, least in at_least.items():
        _check(hypers[key] >= least, key, hypers[key], f"must be at least {least}")
    _check(hypers["cutoff"] > 0, "cutoff", hypers["cutoff"], "must be positive")
    _check(
        0 <= long_range["max_degree"] <= hypers["max_degree"],
        "long_range.max_degree",
        long_range["max_degree"],
        f"must be between 0 and max_degree ({hypers['max_degree']})",
    )
    _check(
        smearing is None or smearing > 0,
        "long_range.smearing",
        smearing,
        "must be positive",
    )
    _check(
        accuracy == "reference" or 0 < float(accuracy) < 1,
        "long_range.accuracy",
        accuracy,
        "must be between 0 and 1, or 'reference'",
    )


def _check(holds: bool, key: str, value: Any, reason: str) -> None:
    if not holds:
        raise ValueError(f"hyper-parameter '{key}' is {value!r}, but {reason}")
