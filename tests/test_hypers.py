"""Hyper-parameters: wrong ones are refused by name, right ones have an effect."""

import copy
from typing import Any

import pytest
import torch
from helpers.lorem_models import (
    ARCHITECTURE,
    ENERGY,
    MATRIX,
    MIXED,
    PARTIAL,
    energies_of,
    make_info,
    make_model,
    small_hypers,
)
from helpers.systems import (
    crystal,
    make_graph,
    molecule,
)
from helpers.training_tools import (
    energy_info,
    make_dataset,
    small_model,
    train,
    training_hypers,
)
from metatrain.utils.architectures import check_architecture_options, get_default_hypers
from metatrain.utils.pydantic import MetatrainValidationError

from metatrain_lorem.documentation import LongRangeHypers, ModelHypers, TrainerHypers
from metatrain_lorem.hypers import LONG_RANGE_BOUNDS, MODEL_BOUNDS, TRAINER_BOUNDS
from metatrain_lorem.model import LOREM
from metatrain_lorem.trainer import Trainer


WRONG = [
    ({"cutoff": -1.0}, "cutoff", "-1.0"),
    ({"cutoff": 0.0}, "cutoff", "0.0"),
    ({"cutoff": float("nan")}, "cutoff", "nan"),
    ({"cutoff": float("inf")}, "cutoff", "inf"),
    ({"max_degree": -1}, "max_degree", "-1"),
    ({"num_features": 0}, "num_features", "0"),
    ({"num_spherical_features": 0}, "num_spherical_features", "0"),
    ({"num_radial": 0}, "num_radial", "0"),
    ({"num_species_features": 0}, "num_species_features", "0"),
    ({"num_message_passing": -1}, "num_message_passing", "-1"),
    ({"long_range": {"max_degree": 4}}, "long_range.max_degree", "4"),
    ({"long_range": {"max_degree": -1}}, "long_range.max_degree", "-1"),
    ({"long_range": {"smearing": 0.0}}, "long_range.smearing", "0.0"),
    ({"long_range": {"smearing": -0.5}}, "long_range.smearing", "-0.5"),
    ({"long_range": {"accuracy": 2}}, "long_range.accuracy", "2"),
    ({"long_range": {"accuracy": 0.0}}, "long_range.accuracy", "0.0"),
    ({"long_range": {"accuracy": -1e-6}}, "long_range.accuracy", "-1e-06"),
    ({"long_range": {"accuracy": "best"}}, "long_range.accuracy", "'best'"),
    ({"cutoff": 1e4}, "cutoff", "10000.0"),
    ({"max_degree": 40}, "max_degree", "40"),
    ({"num_features": 10**6}, "num_features", "1000000"),
    ({"num_radial": 10**4}, "num_radial", "10000"),
    ({"num_message_passing": 100}, "num_message_passing", "100"),
    ({"long_range": {"smearing": 50.0}}, "long_range.smearing", "50.0"),
    ({"long_range": {"accuracy": 1e-300}}, "long_range.accuracy", "1e-300"),
    ({"cutoff": "wide"}, "cutoff", "'wide'"),
    ({"cutoff": True}, "cutoff", "True"),
    ({"cutoff": None}, "cutoff", "None"),
    ({"num_features": True}, "num_features", "True"),
    ({"max_degree": False}, "max_degree", "False"),
    ({"long_range": {"max_degree": True}}, "long_range.max_degree", "True"),
    ({"long_range": {"smearing": True}}, "long_range.smearing", "True"),
    ({"num_features": 2.5}, "num_features", "2.5"),
    ({"num_feature": 3}, "num_feature", "3"),
    ({"long_range": {"enabled": False}}, "long_range.enabled", "False"),
]


@pytest.mark.parametrize(("changes", "key", "value"), WRONG)
def test_wrong_values(changes, key, value):
    with pytest.raises(ValueError, match="hyper-parameter") as error:
        LOREM(small_hypers(**copy.deepcopy(changes)), make_info())
    assert f"'{key}'" in str(error.value)
    assert value in str(error.value)


def numeric(hypers: type) -> set[str]:
    """Names of the hyper-parameters that are numbers."""
    kinds = {key: str(kind) for key, kind in hypers.__annotations__.items()}
    found = {key for key, kind in kinds.items() if "int" in kind or "float" in kind}
    return {key for key in found if "str" not in kinds[key] and "Literal" not in kinds[key]}


@pytest.mark.parametrize(
    ("hypers", "bounds", "without"),
    [
        (ModelHypers, MODEL_BOUNDS, set()),
        (LongRangeHypers, LONG_RANGE_BOUNDS, set()),
        # metatrain and torch check these
        (TrainerHypers, TRAINER_BOUNDS, {"distributed_port", "num_workers"}),
    ],
)
def test_every_number_has_a_bound(hypers, bounds, without):
    assert numeric(hypers) - without == set(bounds)


def options(**changes: Any) -> dict[str, Any]:
    """Options as metatrain checks them: a user's in place of the defaults."""
    options = get_default_hypers(ARCHITECTURE, base_precision=64)
    for key, value in changes.items():
        if isinstance(value, dict):
            options["model"][key].update(value)
        else:
            options["model"][key] = value
    return options


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_feature": 3}, ["num_feature"]),
        ({"long_range": {"enabled": True}}, ["enabled", "long_range"]),
        ({"cutoff": "wide"}, ["cutoff", "wide"]),
        ({"max_degree": 2.5}, ["max_degree", "2.5"]),
        ({"max_degree": None}, ["max_degree"]),
        ({"long_range": {"max_degree": "two"}}, ["max_degree", "two"]),
        ({"long_range": {"accuracy": "best"}}, ["accuracy", "best"]),
        ({"long_range": {"smearing": "wide"}}, ["smearing", "wide"]),
        ({"long_range": 3}, ["long_range"]),
    ],
)
def test_wrong_options(changes, words):
    """Those that metatrain refuses before it reads any data."""
    with pytest.raises(MetatrainValidationError, match="validation errors") as error:
        check_architecture_options(ARCHITECTURE, options(**changes))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cutoff": 6},
        {"num_message_passing": 2, "equivariant_message_passing": False},
        {"long_range": {"enable": False}},
        {"long_range": {"accuracy": 1e-8, "smearing": 1.2}},
        {"long_range": {"accuracy": "reference"}},
    ],
)
def test_right_options(changes):
    check_architecture_options(ARCHITECTURE, options(**changes))
    model = make_model(**copy.deepcopy(changes))
    assert bool(torch.isfinite(energies_of(model, *MIXED)).all())


def test_options_reach_the_network():
    model = make_model(
        cutoff=3.5,
        num_message_passing=1,
        long_range={"smearing": 0.8, "accuracy": 1e-9, "max_degree": 1},
    )
    assert model.network.cutoff == model.requested_neighbor_lists()[0].cutoff == 3.5
    assert len(model.network.messages) == 1
    coulomb = model.network.long_range.coulomb
    assert coulomb.cutoff == 3.5
    assert coulomb.split.smearing == 0.8
    nodes = model.network(make_graph([molecule()], 3.5))
    assert nodes.charges.shape[1] == 1 + 4
    default = make_model(long_range={"accuracy": 1e-2})
    assert not torch.equal(
        energies_of(default, crystal()), energies_of(make_model(), crystal())
    )


def test_neighbor_list_is_full_and_strict():
    (request,) = make_model().requested_neighbor_lists()
    assert request.full_list
    assert request.strict
    assert request.cutoff == 4.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimiser": "Adam"}, ["optimiser"]),
        ({"optimizer": "SGD"}, ["optimizer", "'Adam'"]),
        ({"schedule": "cosine"}, ["schedule", "'warmup_cosine'"]),
        ({"batch_size": "many"}, ["batch_size", "many"]),
        ({"grad_clip_value": "no"}, ["grad_clip_value", "no"]),
        ({"best_model_metric": "mae"}, ["best_model_metric", "'mae_prod'"]),
        ({"finetune": {"method": "lora"}}, ["finetune.method", "'full'"]),
        ({"finetune": {"heads": {}}}, ["heads", "finetune"]),
    ],
)
def test_wrong_training_options(changes, words):
    """Those that metatrain refuses before it reads any data."""
    options = get_default_hypers(ARCHITECTURE, base_precision=32)
    for key, value in changes.items():
        old = options["training"].get(key)
        new = {**old, **value} if isinstance(value, dict) else value
        options["training"][key] = new
    with pytest.raises(MetatrainValidationError) as error:
        check_architecture_options(ARCHITECTURE, options)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"batch_size": 0}, "batch_size", "0"),
        ({"num_epochs": -1}, "num_epochs", "-1"),
        ({"max_atoms_per_batch": 0}, "max_atoms_per_batch", "0"),
        ({"learning_rate": -1e-3}, "learning_rate", "-0.001"),
        ({"learning_rate": float("nan")}, "learning_rate", "nan"),
        ({"learning_rate_final": -1e-6}, "learning_rate_final", "-1e-06"),
        (
            {"schedule": "exponential", "learning_rate_final": 0.0},
            "learning_rate_final",
            "0.0",
        ),
        ({"warmup_fraction": 1.5}, "warmup_fraction", "1.5"),
        ({"weight_decay": -0.1}, "weight_decay", "-0.1"),
        ({"grad_clip_norm": 0.0}, "grad_clip_norm", "0.0"),
        ({"grad_clip_value": -1.0}, "grad_clip_value", "-1.0"),
        ({"log_interval": 0}, "log_interval", "0"),
        ({"checkpoint_interval": 0}, "checkpoint_interval", "0"),
        ({"per_structure_targets": ["enrgy"]}, "per_structure_targets", "enrgy"),
    ],
)
def test_wrong_training_values(changes, key, value):
    targets = {"energy": energy_info()}
    dataset = make_dataset([molecule()], targets)
    trainer = Trainer(training_hypers(targets, **changes))
    with pytest.raises(ValueError, match="hyper-parameter") as error:
        train(small_model(targets, [1, 8]), trainer, [dataset], [dataset])
    assert f"'{key}'" in str(error.value)
    assert value in str(error.value)


@pytest.mark.parametrize("name", ["energy", "mtt::partial", "mtt::unknown"])
def test_zero_sums_are_refused(name):
    message = rf"'zero_sum_targets' is '{name}', but .* \['mtt::apt'\]"
    targets = {"energy": ENERGY, "mtt::partial": PARTIAL, "mtt::apt": MATRIX}
    with pytest.raises(ValueError, match=message):
        make_model(targets, zero_sum_targets=[name])
