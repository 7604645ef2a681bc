"""The files in ``options`` are complete, current and valid."""

from pathlib import Path

import pytest
from metatrain.utils.architectures import check_architecture_options, get_default_hypers
from metatrain.utils.omegaconf import (
    BASE_OPTIONS,
    expand_dataset_config,
    expand_loss_config,
)
from metatrain.utils.pydantic import validate_base_options
from omegaconf import DictConfig, OmegaConf


ROOT = Path(__file__).parents[1]
OPTIONS = sorted((ROOT / "options").glob("*.yaml"))
DEFAULTS = get_default_hypers("metatrain_lorem")


def read(name: str) -> DictConfig:
    return OmegaConf.load(ROOT / "options" / name)


def test_lorem_holds_the_defaults():
    assert OmegaConf.to_container(read("lorem.yaml")["architecture"]) == DEFAULTS


def test_lorem_explains_each_option():
    """Each line of model and training that sets a value has a comment."""
    lines = (ROOT / "options" / "lorem.yaml").read_text().splitlines()
    start, stop = lines.index("architecture:"), lines.index("training_set:")
    options = [
        line.strip()
        for line in lines[start + 2 : stop]
        if ":" in line and not line.strip().startswith("#") and not line.endswith(":")
    ]
    assert len(options) == sum(map(count, (DEFAULTS["model"], DEFAULTS["training"])))
    assert [line for line in options if " # " not in line] == []


def count(options: dict) -> int:
    """Number of options, those in sections included. Empty dictionaries are values."""
    return sum(
        count(value) if isinstance(value, dict) and value else 1
        for value in options.values()
    )


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.name)
def test_options_are_valid(path, monkeypatch):
    """As ``mtt train`` reads them in the folder of the repository."""
    monkeypatch.chdir(ROOT)
    options = OmegaConf.load(path)
    name = options["architecture"]["name"]
    defaults = {"architecture": get_default_hypers(name)}
    validate_base_options(OmegaConf.to_container(options))
    merged = OmegaConf.merge(BASE_OPTIONS, defaults, options)
    check_architecture_options(name, OmegaConf.to_container(merged["architecture"]))
    for section in ("training_set", "validation_set", "test_set"):
        (data,) = merged[section] = expand_dataset_config(merged[section])
        assert Path(data["systems"]["read_from"]).exists()
        assert Path(data["targets"]["energy"]["forces"]["read_from"]).exists()
        assert data["targets"]["energy"]["read_from"] == data["systems"]["read_from"]
    if name == "metatrain_lorem":
        loss = expand_loss_config(merged)["architecture"]["training"]["loss"]
        assert "positions" in loss["energy"]["gradients"]


def test_options_read_different_files():
    for path in OPTIONS:
        options = OmegaConf.load(path)
        files = {
            options[name]["systems"]["read_from"]
            for name in ("training_set", "validation_set", "test_set")
        }
        assert len(files) == 3
