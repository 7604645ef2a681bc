"""The tensors of a training step, against metatrain's way through metatensor's maps."""

from typing import Any

import metatensor.torch as mts
import pytest
import torch
from helpers.systems import (
    crystal,
    distant_atoms,
    lone_ion,
    molecule,
    single_atom,
    skewed_crystal,
    slab,
)
from helpers.training_tools import (
    energy_info,
    make_dataset,
    small_model,
    target_info,
    train,
    training_hypers,
    types_of,
)
from metatensor.torch import TensorBlock, TensorMap
from metatrain.utils.data import CollateFn, Dataset, unpack_batch
from metatrain.utils.evaluate_model import evaluate_model
from metatrain.utils.loss import LossAggregator
from metatrain.utils.metrics import MAEAccumulator, RMSEAccumulator
from metatrain.utils.per_atom import average_by_num_atoms

from metatrain_lorem.model import LOREM
from metatrain_lorem.trainer import Trainer
from metatrain_lorem.training.baseline import preparation
from metatrain_lorem.training.batch import Conversion, join
from metatrain_lorem.training.batches import PreparedDataset
from metatrain_lorem.training.objective import Objective
from metatrain_lorem.training.predictions import Predictor


CPU, DOUBLE = torch.device("cpu"), torch.float64
MIXED = [
    *(single_atom(), distant_atoms(), molecule(), slab()),
    *(crystal(), lone_ion(), skewed_crystal()),
]
CARTESIAN = {"cartesian": {"rank": 1}}
IRREPS = [{"o3_lambda": l, "o3_sigma": s} for l, s in ((0, 1), (2, 1), (1, -1))]
TARGETS = {
    "energy": energy_info(gradients=("positions", "strain")),
    "energy/forces": energy_info("energy/forces", ("positions",)),
    "energy/stress": energy_info("energy/stress", ("strain",)),
    "energy/other": energy_info("energy/other"),
    "mtt::several": target_info("mtt::several", "scalar", "system", number=3),
    "mtt::partial": target_info("mtt::partial", "scalar", "atom", number=2),
    "mtt::dipole": target_info("mtt::dipole", CARTESIAN, "system"),
    "mtt::born": target_info("mtt::born", {"cartesian": {"rank": 2}}, "atom"),
    "mtt::tensor": target_info("mtt::tensor", {"spherical": {"irreps": IRREPS}}, "atom"),
}
LOSS = {
    "energy": {"type": "huber", "weight": 0.7, "delta": 0.3, "forces": {"weight": 2.0}},
    "mtt::partial": {"type": "mae", "reduction": "sum"},
}


def with_missing_labels(dataset: Dataset) -> Dataset:
    """Some labels are NaN, of energies and of forces; a mask for the Born charges."""
    columns: dict[str, Any] = {"system": [], "mtt::born_mask": []}
    for i in range(len(dataset)):
        sample = dataset[i]
        columns["system"].append(sample["system"])
        for name in TARGETS:
            labels = sample[name].copy()
            if name == "energy/other" and i in (1, 4):
                labels = mts.multiply(labels, float("nan"))
            if name == "energy/forces" and i == 2:
                labels.block().gradient("positions").values[0] = float("nan")
            columns.setdefault(name, []).append(labels)
        columns["mtt::born_mask"].append(mask_of(sample["mtt::born"], i))
    return Dataset.from_dict(columns)


def mask_of(labels: TensorMap, seed: int) -> TensorMap:
    block = labels.block()
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(block.values.shape, generator=generator) > 0.3
    parts = (block.samples, block.components, block.properties)
    return TensorMap(labels.keys, [TensorBlock(valid, *parts)])


def by_metatrain(model: LOREM, maps: Any, hypers: Any) -> tuple[torch.Tensor, Any]:
    """Loss of a batch and its errors, with metatrain's functions alone."""
    systems, targets, extra_data = maps
    infos = model.dataset_info.targets
    predictions = evaluate_model(model, systems, infos, is_training=True)
    per_structure = hypers["per_structure_targets"]
    predictions = average_by_num_atoms(predictions, systems, per_structure)
    targets = average_by_num_atoms(targets, systems, per_structure)
    predictions = model.scaler.apply_scales(
        systems, predictions, use_per_target_scales=False
    )
    loss = LossAggregator(infos, hypers["loss"])(predictions, targets, extra_data)
    scaled = [
        model.scaler.apply_scales(systems, maps, use_per_property_scales=False)
        for maps in (predictions, targets)
    ]
    errors: dict[str, float] = {}
    for accumulator in (RMSEAccumulator(True), MAEAccumulator(True)):
        accumulator.update(*scaled, extra_data)
        errors |= accumulator.finalize(["positions_gradients", *per_structure])
    return loss, errors


def gradients_of(loss: torch.Tensor, model: LOREM) -> list[torch.Tensor]:
    parameters = list(model.parameters())
    return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("is_complete", [False, True])
@pytest.mark.parametrize("scale_targets", [False, True])
def test_same_as_metatrain(scale_targets, is_complete):
    """Loss, gradients of all parameters and errors of every kind of target."""
    dataset = make_dataset(MIXED, TARGETS)
    if not is_complete:
        dataset = with_missing_labels(dataset)
    model = small_model(TARGETS, types_of(dataset), zero_sum_targets=["mtt::born"])
    hypers = training_hypers(
        TARGETS,
        loss=LOSS if is_complete else {**LOSS, "mtt::born": {"type": "masked_mse"}},
        scale_targets=scale_targets,
        log_separate_blocks=True,
        per_structure_targets=["mtt::several"],
        learning_rate=1e-9,
        atomic_baseline={"energy/other": 0.0},
    )
    train(model, Trainer(hypers), [dataset], [dataset], dtype=DOUBLE)
    transforms = preparation(model, CPU)
    conversion = Conversion(
        TARGETS, hypers["per_structure_targets"], model.neighbor_options
    )
    objective = Objective(model, DOUBLE, CPU, conversion, hypers)
    predictor = Predictor(model, objective.scales)
    prepared = PreparedDataset(dataset, transforms, conversion)
    batch = join([prepared[i] for i in range(len(prepared))])
    errors = objective.errors()
    evaluation = objective(predictor, batch, is_training=True)
    errors.add(evaluation)
    assert batch.complete == is_complete

    samples = [dataset[i] for i in range(len(dataset))]
    maps = unpack_batch(CollateFn(list(TARGETS), transforms)(samples))
    maps = (maps[0], maps[1], {k: v.to(torch.bool) for k, v in maps[2].items()})
    loss, expected_errors = by_metatrain(model, maps, hypers)
    assert evaluation.loss.item() == pytest.approx(loss.item(), rel=1e-12)
    expected = gradients_of(loss, model)
    scale = max(float(gradient.abs().max()) for gradient in expected)
    for one, other in zip(gradients_of(evaluation.loss, model), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12 * scale)
    summary = errors.summary(CPU, False)
    summary.pop("loss")
    assert summary == pytest.approx(expected_errors, rel=1e-12)
