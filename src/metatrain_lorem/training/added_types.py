"""Composition baseline of atomic types that a trained model meets later."""

import logging
from collections.abc import Mapping
from typing import Any

import metatensor.torch as mts
import torch
from metatensor.torch import Labels, TensorMap
from metatrain.composition import CompositionModel, train_or_load_composition_model
from metatrain.scaler import Scaler
from metatrain.utils.abc import ModelInterface
from metatrain.utils.data import DatasetInfo


def add_atomic_types(model: ModelInterface, atomic_types: list[int]) -> None:
    """Baseline and scales for more species; the network has rows for all of them.

    :param atomic_types: old and new ones
    :raises ValueError: for targets with scales per species, or a species beyond the
        embedding
    """
    added = sorted(set(atomic_types) - set(model.atomic_types))
    if max(added) >= model.network.species.num_embeddings:
        raise ValueError(
            f"atomic type {max(added)} is beyond the species embedding, which has "
            f"{model.network.species.num_embeddings} rows"
        )
    for name, target in model.dataset_info.targets.items():
        if target.sample_kind == "atom":
            raise ValueError(
                f"cannot add the atomic types {added}: target '{name}' is given per "
                "atom, and its scales are tied to the atomic types"
            )
    logging.warning(
        f"New atomic types {added}: their baseline will be fitted to the new data, "
        "that of all others is kept"
    )
    model.new_atomic_types = added
    model.atomic_types = sorted(atomic_types)
    info = DatasetInfo(
        length_unit=model.dataset_info.length_unit,
        atomic_types=model.atomic_types,
        targets=model.dataset_info.targets,
    )
    model.additive_models[0] = with_atomic_types(
        model.additive_models[0], model.atomic_types
    )
    scaler = Scaler(hypers=model.scaler.hypers, dataset_info=info)
    scaler.load_state_dict({**scaler.state_dict(), **_scales(model.scaler.state_dict())})
    scaler.sync_tensor_maps()
    model.scaler = scaler


def _scales(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if "scaler_buffer" in key}


def with_atomic_types(
    baseline: CompositionModel, atomic_types: list[int]
) -> CompositionModel:
    """The same baseline for more atomic types, whose weights are zero.

    :param atomic_types: old and new ones
    """
    info = baseline.dataset_info
    extended = CompositionModel.from_valid_targets(
        DatasetInfo(info.length_unit, atomic_types, info.targets), atomic_types
    )
    added = sorted(set(atomic_types) - set(baseline.atomic_types))
    rows = Labels(["center_type"], torch.tensor(added, dtype=torch.int32).unsqueeze(1))
    for name in info.targets:
        zeros = mts.slice(extended.model.weights[name], "samples", rows)
        old = baseline.model.weights[name].to(torch.device("cpu"), torch.float64)
        weights = mts.sort(mts.join([old, zeros], "samples"), "samples")
        _set_weights(extended, name, weights)
    return extended


def fit_added_types(model: ModelInterface, options: Mapping[str, Any]) -> None:
    """Find the weights of ``model.new_atomic_types``; keep those of all other types.

    What the model has learned refers to its old baseline, so least squares leave that as
    it is. New types that do not occur in the data get zero.

    :param options: arguments of metatrain's fit of a composition model, with the data
    """
    baseline = model.additive_models[0]
    known = {
        name: target
        for name, target in baseline.dataset_info.targets.items()
        if name not in baseline.target_infos  # new targets, which are fitted for all types
    }
    types = baseline.atomic_types
    fit = CompositionModel.from_valid_targets(
        DatasetInfo(baseline.dataset_info.length_unit, types, known), types
    ).to(baseline.dummy_buffer.device)
    train_or_load_composition_model(fit, **{**options, "checkpoint_dir": ""})

    is_new = torch.isin(torch.tensor(types), torch.tensor(model.new_atomic_types))
    for name in known:
        given, weights, counts, sums = (
            maps[name].to(torch.device("cpu"), torch.float64)
            for maps in (
                fit.model.weights,
                baseline.model.weights,
                fit.model.XTX,
                fit.model.XTY,
            )
        )
        for key, block in weights.items():
            if name in options["atomic_baseline"]:
                block.values[is_new] = given.block(key).values[is_new]
            else:
                normal_equations = counts.block(key).values, sums.block(key).values
                block.values[is_new] = _solve(*normal_equations, block.values, is_new)
        _set_weights(baseline, name, weights)
    logging.info(f"Fitted the baseline of the new atomic types {model.new_atomic_types}")
    model.new_atomic_types = []


def _solve(
    counts: torch.Tensor, sums: torch.Tensor, weights: torch.Tensor, is_new: torch.Tensor
) -> torch.Tensor:
    r"""Least-squares weights of the new types, the others given.

    :param counts: :math:`X^T X`, with the numbers of atoms :math:`X` ``[systems, types]``
    :param sums: :math:`X^T Y`, with the targets :math:`Y` ``[systems, ...]``
    :param weights: known weights ``[types, ...]``
    :param is_new: which of the types are new ``[types]``
    """
    counts, sums = counts[is_new], sums[is_new]
    sums = sums - torch.tensordot(counts[:, ~is_new], weights[~is_new], dims=1)
    # Singular if two new types always occur in the same ratio, or one does not occur
    inverse = torch.linalg.pinv(counts[:, is_new], rtol=1e-10, hermitian=True)
    return torch.tensordot(inverse, sums, dims=1)


def _set_weights(baseline: CompositionModel, name: str, weights: TensorMap) -> None:
    device = baseline.dummy_buffer.device
    buffer = mts.save_buffer(mts.make_contiguous(weights)).to(device)
    baseline.register_buffer(f"{name}_composition_buffer", buffer)
    baseline.model.weights[name] = weights.to(device)
