"""Short runs, and what fine-tuning makes of their checkpoints."""

import copy
from typing import Any

import torch
from helpers.training_tools import (
    small_model,
    train,
    training_hypers,
    types_of,
)
from metatomic.torch import ModelOutput
from metatrain.utils.data import DatasetInfo
from metatrain.utils.io import model_from_checkpoint
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_lorem.model import LOREM
from metatrain_lorem.trainer import Trainer


def energies_of_data(model: LOREM, dataset: Any, name: str = "energy") -> torch.Tensor:
    """Predictions in the type of the model, as evaluation gives them."""
    model = copy.deepcopy(model).double().eval()
    requests = get_requested_neighbor_lists(model)
    systems = [dataset[i]["system"] for i in range(len(dataset))]
    systems = [get_system_with_neighbor_lists(system, requests) for system in systems]
    outputs = {name: ModelOutput(sample_kind="system")}
    return model(systems, outputs)[name].block().values.detach().flatten()


def labels_of(dataset: Any, name: str = "energy") -> torch.Tensor:
    samples = (dataset[i] for i in range(len(dataset)))
    return torch.cat([sample[name].block().values.flatten() for sample in samples])


def trained(
    targets: Any, training: Any, validation: Any, folder: Any, **changes: Any
) -> Any:
    """Checkpoint of a model after a short training, and the model."""
    model = small_model(targets, types_of(*training, *validation))
    trainer = Trainer(training_hypers(targets, num_epochs=2, batch_size=2, **changes))
    train(model, trainer, training, validation)
    trainer.save_checkpoint(model, folder / "trained.ckpt")
    return torch.load(folder / "trained.ckpt", weights_only=False)


def continued(checkpoint: Any, targets: Any, types: list[int]) -> LOREM:
    """What metatrain makes of a checkpoint when fine-tuning begins."""
    model = model_from_checkpoint(checkpoint, "finetune")
    return model.restart(DatasetInfo("Angstrom", types, dict(targets)))


def finetuning(**changes: Any) -> dict[str, Any]:
    finetune = {"read_from": "trained.ckpt", "method": "full", "inherit_heads": {}}
    return {"finetune": {**finetune, **changes}}
