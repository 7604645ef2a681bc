"""The settings of the paper's experiments, and their equality with lorem-jax's."""

from pathlib import Path

import pytest
from metatrain.utils.architectures import check_architecture_options, get_default_hypers
from metatrain.utils.omegaconf import BASE_OPTIONS, expand_dataset_config
from metatrain.utils.pydantic import validate_base_options
from omegaconf import OmegaConf

from metatrain_lorem.hypers import check_training_hypers
from metatrain_lorem.lorem_jax.settings import hypers_from_settings


FOLDER = Path(__file__).parents[1] / "options" / "paper"
# optimizer, rate, schedule, warm-up, epochs, weights, structures per step, seed
RECIPES = {
    "mgo_surface": ("Adam", 4e-4, "linear", 10, 4000, (1000, 1), 32, 42),
    "nacl_cluster": ("Adam", 1e-3, "exponential", 20, 8000, (0.5, 0.5), 13, 23),
    "biodimers": ("Adam", 1e-4, "linear", 10, 4000, (0.5, 0.5), 32, 23),
    "cumulene": ("LAMB", 1e-3, "linear", 10, 2000, (0.5, 0.5), 6, 42),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name):
    options = OmegaConf.load(FOLDER / f"{name}.yaml")
    validate_base_options(OmegaConf.to_container(options))
    defaults = {"architecture": get_default_hypers("metatrain_lorem")}
    merged = OmegaConf.merge(BASE_OPTIONS, defaults, options)
    architecture = OmegaConf.to_container(merged["architecture"])
    check_architecture_options("metatrain_lorem", architecture)
    training = architecture["training"]
    check_training_hypers(training, ["energy"])
    loss = training["loss"]["energy"]
    assert RECIPES[name] == (
        training["optimizer"],
        training["learning_rate"],
        training["schedule"],
        training["warmup_epochs"],
        training["num_epochs"],
        (loss["weight"], loss["forces"]["weight"]),
        training["batch_size"],
        options["seed"],
    )
    assert training["learning_rate_final"] == 1e-6
    assert training["best_model_metric"] == "r2_sum"
    assert (training["grad_clip_norm"], training["grad_clip_value"]) == (None, None)
    assert architecture["model"] == hypers_from_settings({})
    for section, part in (("training_set", "train"), ("validation_set", "val")):
        (data,) = expand_dataset_config(options[section])
        assert data["systems"]["read_from"] == f"paper_data/{name}_{part}.xyz"


def test_all_recipes_are_tested():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(RECIPES)
