"""Settings of lorem-jax and hyper-parameters, back and forth."""

import pytest
from helpers.parity_cases import CASES
from helpers.parity_tools import CHECKPOINT
from metatrain.utils.architectures import get_default_hypers

from metatrain_lorem.lorem_jax.files import (
    read_jax_model,
)
from metatrain_lorem.lorem_jax.settings import hypers_from_settings, settings_from_hypers


@pytest.mark.parametrize("case", CASES)
def test_settings_round_trip(case):
    hypers = hypers_from_settings(CASES[case])
    settings = settings_from_hypers(hypers)
    assert set(settings) == set(read_jax_model(CHECKPOINT).settings)
    assert hypers_from_settings(settings) == hypers
    assert {name: settings[name] for name in CASES[case]} == CASES[case]


def test_default_settings():
    """Those of our models, but for norms and radial functions: ours are smooth."""
    defaults = get_default_hypers("metatrain_lorem")["model"]
    assert hypers_from_settings({}) == {
        **defaults,
        "radial_functions": "paper",
        "norms": "paper",
        "long_range": {**defaults["long_range"], "smearing": 1.25},
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoff_fn": "smooth_cutoff"}, "'cutoff_fn' of lorem-jax is 'smooth_cutoff'"),
        ({"radial_basis": "basic_fourier"}, "'radial_basis' .* 'basic_fourier'"),
        ({"inputs": ["charge"]}, r"'inputs' of lorem-jax is \['charge'\]"),
        ({"num_heads": 4}, r"'num_heads' of lorem-jax is unknown \(4\)"),
        ({"max_degree": 2.5}, "'max_degree' of lorem-jax is 2.5, expected int"),
        ({"lr": 1}, "'lr' of lorem-jax is 1, expected bool"),
        ({"cutoff": "5"}, "'cutoff' of lorem-jax is '5', expected float"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        hypers_from_settings(settings)


def test_settings_of_whole_numbers():
    cutoff = hypers_from_settings({"cutoff": 5, "inputs": ()})["cutoff"]
    assert isinstance(cutoff, float)


def test_norms():
    hypers = hypers_from_settings({})
    assert hypers["norms"] == "paper"
    with pytest.raises(ValueError, match="`norms` is 'smooth'"):
        settings_from_hypers({**hypers, "norms": "smooth"})


def test_wrong_smearing():
    hypers = hypers_from_settings({})
    hypers["long_range"]["smearing"] = 1.25
    assert settings_from_hypers(hypers)["cutoff"] == 5.0
    hypers["long_range"]["smearing"] = 1.0
    with pytest.raises(ValueError, match="'long_range.smearing' is 1.0"):
        settings_from_hypers(hypers)
