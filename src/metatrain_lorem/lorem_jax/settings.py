"""Settings of lorem-jax's class ``Lorem`` and the hyper-parameters that mean the same."""

from collections.abc import Mapping
from typing import Any, Literal


# Settings with an equivalent: its name, and the default in lorem-jax 0.2.0
MODEL_SETTINGS: dict[str, tuple[str, Any]] = {
    "cutoff": ("cutoff", 5.0),
    "max_degree": ("max_degree", 6),
    "num_features": ("num_features", 128),
    "num_radial": ("num_radial", 32),
    "num_species": ("num_species_features", 8),
    "num_spherical_features": ("num_spherical_features", 8),
    "num_message_passing": ("num_message_passing", 0),
    "equivariant_message_passing": ("equivariant_message_passing", True),
    "initialize_node_features": ("initialize_node_features", True),
}
LONG_RANGE_SETTINGS: dict[str, tuple[str, Any]] = {
    "lr": ("enable", True),
    "max_degree_lr": ("max_degree", 2),
}
# Settings of which one value is supported
FIXED_SETTINGS: dict[str, Any] = {
    "cutoff_fn": "cosine_cutoff",
    "radial_basis": "basic_bernstein",
    "inputs": [],
}

# Total charge and spin multiplicity, which lorem-jax 0.2.0 does not know
NO_STATES = {"system_conditioning": False, "max_charge": 10, "max_spin_multiplicity": 10}


def hypers_from_settings(
    settings: Mapping[str, Any], accuracy: float | Literal["reference"] = 1e-6
) -> dict[str, Any]:
    """Hyper-parameters of LOREM with the meaning of a lorem-jax model's settings.

    :param settings: arguments of its class ``Lorem``; what is missing has its default
    :param accuracy: hyper-parameter ``long_range.accuracy``, which lorem-jax lacks; its
        own k-vectors, slab vacuum and binomials are ``"reference"``
    :raises ValueError: for a setting that is unknown, of another type or not supported,
        naming it
    """
    known = {**MODEL_SETTINGS, **LONG_RANGE_SETTINGS, **FIXED_SETTINGS}
    for name, value in settings.items():
        if name not in known:
            raise ValueError(f"setting '{name}' of lorem-jax is unknown ({value!r})")
    for name, supported in FIXED_SETTINGS.items():
        value = settings.get(name, supported)
        value = list(value) if isinstance(value, tuple) else value
        if value != supported:
            raise ValueError(
                f"setting '{name}' of lorem-jax is {value!r}; only {supported!r} is "
                "supported"
            )
    hypers = _translate(settings, MODEL_SETTINGS)
    hypers.update(radial_functions="paper", norms="paper", zero_sum_targets=[])
    hypers.update(NO_STATES)
    hypers["long_range"] = {
        **_translate(settings, LONG_RANGE_SETTINGS),
        "smearing": hypers["cutoff"] / 4,
        "accuracy": accuracy,
        "fix_total_charge": False,
    }
    return hypers


def settings_from_hypers(hypers: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of :func:`hypers_from_settings`; the accuracy is lost.

    :raises ValueError: for a smearing or norms that lorem-jax cannot express
    """
    for name in ("radial_functions", "norms"):
        if hypers[name] != "paper":
            raise ValueError(
                f"`{name}` is '{hypers[name]}'; lorem-jax has those of the paper"
            )
    long_range = hypers["long_range"]
    smearing = long_range["smearing"]
    if smearing is not None and smearing != hypers["cutoff"] / 4:
        raise ValueError(
            f"'long_range.smearing' is {smearing}; lorem-jax always takes a quarter of "
            "the cutoff"
        )
    settings = {name: hypers[ours] for name, (ours, _) in MODEL_SETTINGS.items()}
    for name, (ours, _) in LONG_RANGE_SETTINGS.items():
        settings[name] = long_range[ours]
    settings["cutoff"] = float(settings["cutoff"])
    return {**settings, **FIXED_SETTINGS}


def _translate(
    settings: Mapping[str, Any], names: Mapping[str, tuple[str, Any]]
) -> dict[str, Any]:
    """Values of the settings in ``names``, or defaults, under our names."""
    hypers = {}
    for name, (ours, default) in names.items():
        value, kind = settings.get(name, default), type(default)
        value = float(value) if kind is float and type(value) is int else value
        if type(value) is not kind:
            raise ValueError(
                f"setting '{name}' of lorem-jax is {value!r}, expected {kind.__name__}"
            )
        hypers[ours] = value
    return hypers
