"""All that is checked before the first step, so that nothing is found out after it."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from metatomic.torch import System
from metatrain.utils.abc import ModelInterface

from ..coulomb.estimate import check_one
from ..ops.extent import check_search
from .batches import AnyDataset
from .data_checks import Inspection, check_types, tell_not_validated
from .frames import name_frames, read_options
from .not_learned import what_is_not_learned
from .option_checks import check_batch_sizes, check_options, tell_without_effect


# Of one atom. Spherical features grow with the sixth power of this number, their squares
# with the twelfth: with five times as many, those of the long-range part exceed what
# float32 holds. A cutoff of 10 Angstrom in diamond has 740.
MAX_NEIGHBORS = 10_000


def inspect_data(
    model: ModelInterface,
    train_datasets: list[AnyDataset],
    val_datasets: list[AnyDataset],
    hypers: Mapping[str, Any],
    checkpoint_dir: str,
) -> tuple[Inspection, Inspection]:
    """Look at options, structures and labels; warn of what is odd.

    :param checkpoint_dir: where metatrain left the options of the run
    :return: of training and validation data
    :raises ValueError: for what no model can be trained on, naming frame, key and value
    """
    check_options(hypers)
    tell_without_effect(hypers)
    targets = model.dataset_info.targets
    options = read_options(checkpoint_dir)
    lacking = what_is_not_learned(targets, hypers["loss"], options)
    if lacking:
        logging.warning(f"Not learned, as the data lack it: {'; '.join(lacking)}")
    section = options.get("training_set")
    tell_missing_inputs(model, train_datasets)
    frames = name_frames(train_datasets, "training set", section)
    val_section = options.get("validation_set")
    val_frames = name_frames(val_datasets, "validation set", val_section, section)
    check = _structure_check(model)
    training = Inspection(frames, targets, check)
    validation = Inspection(val_frames, targets, check)
    check_types(training, validation, model.atomic_types)
    training.check_labels(_fitted(model, hypers))
    validation.check_labels([])
    tell_not_validated(training, validation)
    check_batch_sizes(hypers, training)
    return training, validation


def tell_missing_inputs(model: ModelInterface, datasets: list[AnyDataset]) -> None:
    """Warn of data without total charges or spins, if the model asks for them."""
    for number, dataset in enumerate(datasets):
        fields = dataset[0]._asdict() if len(dataset) > 0 else {}
        missing = [name for name in model.requested_inputs() if name not in fields]
        if missing:
            logging.warning(
                f"`system_conditioning` is on, but training set {number} (from 0) has no "
                f"{' and '.join(missing)} in its `extra_data`: all structures count as "
                "neutral singlets there"
            )


def _structure_check(model: ModelInterface) -> Callable[[System], None]:
    """Refuses structures without a neighbor list, or that take too much memory."""
    long_range = model.network.long_range
    cutoff = model.network.cutoff

    def check(system: System) -> None:
        check_search(system.positions, system.cell, system.pbc, cutoff)
        if bool(system.pbc.all()):
            check_neighbors(len(system), float(torch.linalg.det(system.cell)), cutoff)
        if long_range is not None and bool(system.pbc.any()):
            columns = long_range.charges.num_columns
            tensors = system.positions, system.cell, system.pbc
            try:
                check_one(long_range.coulomb, *tensors, columns)
            except ValueError as error:
                message = str(error).removeprefix("system 0 ")
                raise ValueError(f"this structure {message}") from None

    return check


def check_neighbors(num_atoms: int, volume: float, cutoff: float) -> None:
    """Refuse so many neighbors that features are not finite in float32.

    :raises ValueError: with the number of neighbors
    """
    neighbors = 4 / 3 * math.pi * cutoff**3 * num_atoms / abs(volume)
    if neighbors > MAX_NEIGHBORS:
        raise ValueError(
            f"each atom has about {neighbors:.0f} neighbors within the cutoff ({cutoff:g} "
            f"Angstrom; allowed: {MAX_NEIGHBORS}): choose a shorter `cutoff`, or correct "
            "the unit of the cell"
        )


def _fitted(model: ModelInterface, hypers: Mapping[str, Any]) -> list[str]:
    """Targets of whole structures whose baseline is going to be fitted."""
    given = hypers["atomic_baseline"]
    if isinstance(given, str):
        return []
    targets = model.dataset_info.targets
    return [
        name
        for name in model.additive_models[0].target_infos
        if targets[name].sample_kind == "system" and name not in given
    ]
