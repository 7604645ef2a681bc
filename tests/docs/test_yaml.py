"""Options on the pages are those that ``mtt train`` and ``mtt eval`` take."""

import copy
from typing import Any

import pytest
import yaml
from helpers.snippets import Snippet, blocks
from metatrain.utils.architectures import check_architecture_options, get_default_hypers
from metatrain.utils.omegaconf import BASE_OPTIONS
from metatrain.utils.pydantic import (
    MetatrainValidationError,
    validate_base_options,
    validate_eval_options,
)
from omegaconf import OmegaConf

from metatrain_lorem.hypers import check_hypers, check_training_hypers


ARCHITECTURE = "metatrain_lorem"
SECTIONS = {"architecture", "training_set", "validation_set", "test_set"}
OTHERS = {"seed", "base_precision", "device"}
DATA = {
    "systems": {"read_from": "train.xyz", "length_unit": "Angstrom"},
    "targets": {"energy": {"unit": "eV", "forces": True}},
}


def complete(options: dict[str, Any]) -> dict[str, Any]:
    """An options file around a part of it."""
    keys = set(options)
    if keys <= {"model", "training"}:
        options = {"architecture": {"name": ARCHITECTURE, **options}}
    elif keys <= {"targets", "extra_data"}:
        options = {"training_set": {**DATA, **options}}
    elif not keys <= SECTIONS | OTHERS:
        options = {"training_set": {**DATA, "targets": {**DATA["targets"], **options}}}
    rest = {
        "architecture": {"name": ARCHITECTURE},
        "training_set": DATA,
        "validation_set": 0.1,
        "test_set": 0.1,
    }
    return copy.deepcopy({**rest, **options})


def targets_of(section: Any) -> list[str]:
    return list(section["targets"]) if isinstance(section, dict) else []


@pytest.mark.parametrize("snippet", blocks("yaml"), ids=lambda snippet: snippet.name)
def test_options(snippet: Snippet):
    options = yaml.safe_load(snippet.text)
    if "systems" in options:
        validate_eval_options(options)
        return
    options = complete(options)
    validate_base_options(options)
    name = options["architecture"]["name"]
    defaults = {"architecture": get_default_hypers(name)}
    merged = OmegaConf.merge(BASE_OPTIONS, defaults, options)
    hypers = OmegaConf.to_container(merged["architecture"])
    check_architecture_options(name, hypers)
    if name == ARCHITECTURE:
        check_hypers(hypers["model"])
        named = [*hypers["training"]["per_structure_targets"]]
        targets = targets_of(options["training_set"])
        check_training_hypers(hypers["training"], targets + named)


def test_there_are_options():
    assert len(blocks("yaml")) > 15


@pytest.mark.parametrize(
    "text",
    [
        "model: {cut_off: 5.0}",
        "training: {batch_size: 0}",
        "energy: {units: eV}",
        "training_set: {sytems: train.xyz}",
    ],
)
def test_wrong_options_are_found(text):
    errors = (MetatrainValidationError, ValueError)
    with pytest.raises(errors, match=r"cut_off|batch_size|units|sytems"):
        test_options(Snippet(None, 0, text))
