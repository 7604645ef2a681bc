"""Trainings of a second or less, and what they say."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from helpers.systems import Structure, make_structure, molecule, rattled
from helpers.training_tools import (
    energy_info,
    make_dataset,
    small_model,
    train,
    training_hypers,
    types_of,
)
from metatrain.utils.data import Dataset
from metatrain.utils.io import model_from_checkpoint, trainer_from_checkpoint

from metatrain_lorem.model import LOREM
from metatrain_lorem.trainer import Trainer


TARGETS = {"energy": energy_info()}
SMALLEST: dict[str, Any] = {
    "max_degree": 1,
    "num_features": 4,
    "num_spherical_features": 1,
    "num_radial": 2,
    "long_range": {"enable": False, "max_degree": 0},
}


def water(seed: int) -> Structure:
    return rattled(molecule(), seed)


def data(*seeds: int, structures: list[Structure] = [], **options: Any) -> Dataset:  # noqa: B006
    """Rattled water molecules, and given structures."""
    return make_dataset([*map(water, seeds), *structures], TARGETS, **options)


def oxygen_pair(distance: float) -> Structure:
    return make_structure([8, 8], [[0.0, 0.0, 0.0], [0.0, 0.0, distance]])


def tiny_model(*datasets: Dataset, targets: Any = None, **changes: Any) -> LOREM:
    types = types_of(*datasets)
    return small_model(targets or TARGETS, types, **{**SMALLEST, **changes})


def tiny_trainer(targets: Any = None, **changes: Any) -> Trainer:
    options = {"num_epochs": 3, "batch_size": 2, "atomic_baseline": {"energy": 0.0}}
    return Trainer(training_hypers(targets or TARGETS, **{**options, **changes}))


def run(
    training: Dataset,
    validation: Dataset | None = None,
    folder: Path | None = None,
    targets: Any = None,
    **changes: Any,
) -> tuple[LOREM, Trainer]:
    """Train from scratch."""
    validation = training if validation is None else validation
    model = tiny_model(training, validation, targets=targets)
    trainer = tiny_trainer(targets, **changes)
    torch.manual_seed(1)
    train(model, trainer, [training], [validation], folder)
    return model, trainer


def go_on(
    checkpoint: Path | dict[str, Any],
    training: Dataset,
    validation: Dataset,
    folder: Path | None = None,
    targets: Any = None,
    hypers: dict[str, Any] | None = None,
    **changes: Any,
) -> tuple[LOREM, Trainer]:
    """What ``mtt train --restart`` does."""
    if isinstance(checkpoint, Path):
        checkpoint = torch.load(checkpoint, weights_only=False)
    model = tiny_model(training, validation, targets=targets)
    restarted = model_from_checkpoint(checkpoint, "restart").restart(model.dataset_info)
    new = hypers or tiny_trainer(targets, **changes).hypers
    trainer = trainer_from_checkpoint(checkpoint, "restart", new)
    train(restarted, trainer, [training], [validation], folder)
    return restarted, trainer


def after_steps(trainer: Trainer, number: int, action: Callable[[], None]) -> None:
    """Do something after so many optimizer steps."""
    optimize, count = trainer._optimize, [0]

    def counting(*arguments: Any) -> float:
        norm = optimize(*arguments)
        count[0] += 1
        if count[0] == number:
            action()
        return norm

    trainer._optimize = counting


def warnings_of(caplog: Any) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def assert_same_weights(first: torch.nn.Module, second: torch.nn.Module) -> None:
    """Bit for bit, all parameters, but not the uninitialized buffers of metatrain."""
    others = dict(second.named_parameters())
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, others[name]), name
