"""Composition baseline and scales of the targets."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from metatomic.torch import System
from metatrain.composition import train_or_load_composition_model
from metatrain.scaler import train_or_load_scaler
from metatrain.utils.abc import ModelInterface
from metatrain.utils.additive import get_remove_additive_transform
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists_transform,
)
from metatrain.utils.scaler import get_remove_scale_transform
from metatrain.utils.system_data import get_system_data_transform

from .added_types import fit_added_types
from .batches import AnyDataset, Maps, TensorMaps, Transform
from .origin import close_to_origin


def fit_baseline(
    model: ModelInterface,
    datasets: list[AnyDataset],
    hypers: Mapping[str, Any],
    distributed: bool,
    checkpoint_dir: str,
) -> None:
    """Fit composition baseline and scales of new targets to the data, or load them.

    In float64: float32 resolves all-electron energies (-1.5e6 eV) to 0.1 eV only.

    :param hypers: ``atomic_baseline``, ``scale_targets``, ``fixed_scaling_weights``,
        ``per_structure_targets`` and ``batch_size``
    :param distributed: whether several processes share the data
    """
    for module in [*model.additive_models, model.scaler]:
        module.to(dtype=torch.float64)
    shared = {
        "train_datasets": datasets,
        "batch_size": hypers["batch_size"],
        "is_distributed": distributed,
        "checkpoint_dir": _own_folder(checkpoint_dir),
    }
    composition = {
        "atomic_baseline": hypers["atomic_baseline"],
        "other_additive_models": list(model.additive_models[1:]),
        **shared,
    }
    train_or_load_composition_model(model.additive_models[0], **composition)
    is_loaded = isinstance(hypers["atomic_baseline"], str)
    if len(model.new_atomic_types) > 0 and not is_loaded:
        fit_added_types(model, composition)
    _check_finite(model)
    if hypers["scale_targets"]:
        train_or_load_scaler(
            model.scaler,
            additive_models=model.additive_models,
            fixed_weights=hypers["fixed_scaling_weights"],
            per_structure_targets=hypers["per_structure_targets"],
            **shared,
        )


def _own_folder(checkpoint_dir: str) -> str:
    """Where metatrain puts ``composition_model.ckpt`` and ``scaler.ckpt``.

    Beside the checkpoints, ``--restart auto`` would take them for one of ours if the run
    died before the first one.
    """
    if not checkpoint_dir:
        return ""
    folder = Path(checkpoint_dir) / "baseline"
    folder.mkdir(exist_ok=True)
    return str(folder)


def _check_finite(model: ModelInterface) -> None:
    """One missing (NaN) label spoils the fit, and then all other labels with it."""
    targets = model.dataset_info.targets
    for name, weights in model.additive_models[0].model.weights.items():
        is_finite = all(bool(torch.isfinite(block.values).all()) for block in weights)
        # Labels of atoms may be missing for a whole species.
        if targets[name].sample_kind == "system" and not is_finite:
            raise ValueError(
                f"no atomic baseline of target '{name}' fits to missing (NaN) labels: "
                "give it as `atomic_baseline`"
            )


def preparation(model: ModelInterface, device: torch.device) -> list[Transform]:
    """Neighbor lists for the systems; targets less baseline, divided by their scale.

    Systems with atomic types that the model does not know raise a ``ValueError``.

    Applied on the CPU and in float64, wherever and in whatever type the model trains.

    :param device: where the model is
    """
    cpu, double = torch.device("cpu"), torch.float64
    model.additive_models.to(cpu)
    model.additive_models[0].weights_to(cpu, double)
    model.scaler.to(cpu)
    model.scaler.scales_to(cpu, double)
    additive_models, scaler = copy.deepcopy((model.additive_models, model.scaler))
    model.additive_models.to(device)
    model.additive_models[0].weights_to(device, double)
    model.scaler.to(device)
    model.scaler.scales_to(device, double)
    return [
        _known_types_only(model.additive_models[0].atomic_types),
        close_to_origin,
        get_system_data_transform(list(model.requested_inputs())),
        get_system_with_neighbor_lists_transform(get_requested_neighbor_lists(model)),
        get_remove_additive_transform(additive_models, model.dataset_info.targets),
        get_remove_scale_transform(scaler),
    ]


def _known_types_only(atomic_types: list[int]) -> Transform:
    """Refuse other atomic types, for which baseline and scales are not defined."""

    def check(systems: list[System], targets: TensorMaps, extra: TensorMaps) -> Maps:
        found = {atomic_type for system in systems for atomic_type in system.types.tolist()}
        unknown = sorted(found - set(atomic_types))
        if unknown:
            raise ValueError(
                f"the data hold the atomic types {unknown}, but the model is for "
                f"{atomic_types} only"
            )
        return systems, targets, extra

    return check
