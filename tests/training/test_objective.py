"""Loss and errors, against their formulas."""

from typing import Any

import pytest
import torch
from helpers.systems import (
    crystal,
    molecule,
    single_atom,
)
from helpers.training_tools import (
    energy_info,
    make_dataset,
    small_model,
    train,
    training_hypers,
    types_of,
)
from metatrain.utils.evaluate_model import evaluate_model
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)
from omegaconf import OmegaConf

from metatrain_lorem.trainer import Trainer
from metatrain_lorem.training.batch import Conversion, mapped
from metatrain_lorem.training.errors import Errors
from metatrain_lorem.training.objective import Evaluation
from metatrain_lorem.training.scales import Scales


LOSS_OF_LOREM_JAX = """
energy:
  type: mse
  weight: 0.5
  forces:
    type: mse
    weight: 0.5
"""


def test_loss_of_lorem_jax(monkeypatch):
    """Half the mean squared error of the energies per atom, and that of the forces.

    Means are over structures and over force components; a baseline is subtracted.
    """
    structures = [molecule(), crystal(), single_atom()]
    targets = {"energy": energy_info(gradients=("positions",))}
    baseline = {1: -13.6, 8: -2041.3, 11: -4421.0, 17: -12520.1}
    dataset = make_dataset(structures, targets)
    model = small_model(targets, types_of(dataset))
    hypers = training_hypers(
        targets,
        loss=OmegaConf.to_container(OmegaConf.create(LOSS_OF_LOREM_JAX)),
        batch_size=3,
        atomic_baseline={"energy": baseline},
    )
    trainer, losses = Trainer(hypers), []

    def keep(run: Any, loss: torch.Tensor, rate: float) -> float:
        losses.append(loss.item())
        return 0.0

    monkeypatch.setattr(trainer, "_optimize", keep)
    train(model, trainer, [dataset], [dataset], dtype=torch.float64)

    energy_errors, force_errors = [], []
    (request,) = get_requested_neighbor_lists(model)
    for i, structure in enumerate(structures):
        system = get_system_with_neighbor_lists(dataset[i]["system"], [request])
        prediction = evaluate_model(model.eval(), [system], targets, is_training=False)
        predicted, label = (m["energy"].block() for m in (prediction, dataset[i]))
        error = (predicted.values - label.values) / len(structure.species)
        energy_errors.append(error.flatten())
        gradients = [block.gradient("positions").values for block in (predicted, label)]
        force_errors.append((gradients[0] - gradients[1]).flatten())
    expected = 0.5 * torch.cat(energy_errors).square().mean()
    expected += 0.5 * torch.cat(force_errors).square().mean()
    assert losses == pytest.approx([expected.item()], rel=1e-12)


def test_errors_of_an_epoch():
    """Mean of the losses of the batches; errors of the structures of all of them."""
    targets = {"energy": energy_info()}
    dataset = make_dataset([molecule()] * 3, targets, energies=[3.0, 6.0, 12.0])
    model = small_model(targets, [1, 8])
    hypers = training_hypers(targets, log_mae=True)
    cpu = torch.device("cpu")
    scales = Scales(model.scaler, "per_target_scales", torch.float64, cpu)
    errors = Errors(targets, scales, hypers)
    assert "loss" not in errors.summary(cpu, False)
    convert = Conversion(targets, ["energy"], model.neighbor_options)
    (request,) = get_requested_neighbor_lists(model)
    for i, loss in enumerate((1.0, 2.0, 6.0)):
        system = get_system_with_neighbor_lists(dataset[i]["system"], [request])
        batch = convert([system], {"energy": dataset[i]["energy"]}, {})
        zero = {"energy": mapped(torch.zeros_like, batch.targets["energy"])}
        evaluation = Evaluation(torch.tensor(loss), zero, batch)
        errors.add(evaluation, only_loss=i == 2)
    summary = errors.summary(cpu, False)
    assert summary.pop("loss") == 3.0
    # Of the first two
    rmse, mae = (22.5**0.5, 4.5)
    assert sorted(summary.values()) == pytest.approx([mae, rmse])
