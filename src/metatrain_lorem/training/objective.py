"""Loss and errors of a model on batches of structures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from metatomic.torch import System
from metatrain.scaler import Scaler
from metatrain.utils.abc import ModelInterface
from metatrain.utils.evaluate_model import evaluate_model
from metatrain.utils.loss import LossAggregator
from metatrain.utils.metrics import MAEAccumulator, RMSEAccumulator
from metatrain.utils.per_atom import average_by_num_atoms
from metatrain.utils.transfer import batch_to

from .batches import Batch, TensorMaps


class Evaluation(NamedTuple):
    """Loss of a batch, with the predictions and targets that it compares."""

    loss: torch.Tensor
    systems: list[System]
    predictions: TensorMaps
    targets: TensorMaps
    extra_data: TensorMaps


class Objective:
    """What training minimizes.

    The loss sees extensive targets (energies, virials) per atom, and all targets
    divided by their scale.

    :param model: its scaler and the description of its targets are used
    :param dtype: floating-point type of the model
    :param device: device of the model
    :param hypers: ``loss`` and ``per_structure_targets``
    """

    def __init__(
        self,
        model: ModelInterface,
        dtype: torch.dtype,
        device: torch.device,
        hypers: Mapping[str, Any],
    ) -> None:
        self.scaler = model.scaler
        self.targets = model.dataset_info.targets
        self.dtype = dtype
        self.device = device
        self.per_structure = hypers["per_structure_targets"]
        self.loss = LossAggregator(self.targets, hypers["loss"])

    def describe(self) -> str:
        """Terms of the loss, e.g. ``1.0 mse(energy) + 1.0 mse(energy positions)``."""
        terms = []
        for name, term in self.loss.metadata.items():
            terms.append(f"{term['weight']} {term['type']}({name})")
            for gradient, part in term["gradients"].items():
                terms.append(f"{part['weight']} {part['type']}({name} {gradient})")
        return " + ".join(terms)

    def __call__(
        self, network: torch.nn.Module, batch: Batch, is_training: bool
    ) -> Evaluation:
        """Evaluate the network and its loss on a batch.

        :param network: the model in training mode, or its wrapper for several processes
        :param is_training: whether the loss will be differentiated
        """
        systems, targets, extra_data = batch_to(
            *batch, dtype=self.dtype, device=self.device
        )
        infos = {name: self.targets[name] for name in targets}
        predictions = evaluate_model(network, systems, infos, is_training=is_training)
        predictions = average_by_num_atoms(predictions, systems, self.per_structure)
        targets = average_by_num_atoms(targets, systems, self.per_structure)
        # Batches hold targets divided by one scale each. Scales of single properties,
        # if a target has several, are left to the predictions.
        predictions = self.scaler.apply_scales(
            systems, predictions, use_per_target_scales=False
        )
        loss = self.loss(predictions, targets, extra_data)
        return Evaluation(loss, systems, predictions, targets, extra_data)


class Errors:
    """Losses and errors of the batches of an epoch.

    :param scaler: from the units of the loss to those of the data
    :param hypers: ``log_mae``, ``log_separate_blocks``, ``best_model_metric`` and
        ``per_structure_targets``
    """

    def __init__(self, scaler: Scaler, hypers: Mapping[str, Any]) -> None:
        self.scaler = scaler
        self.losses: list[float] = []
        separate = hypers["log_separate_blocks"]
        self.accumulators: list[RMSEAccumulator | MAEAccumulator]
        self.accumulators = [RMSEAccumulator(separate)]
        if hypers["log_mae"] or hypers["best_model_metric"] == "mae_prod":
            self.accumulators.append(MAEAccumulator(separate))
        self.not_per_atom = ["positions_gradients", *hypers["per_structure_targets"]]

    def add(self, evaluation: Evaluation, only_loss: bool = False) -> None:
        """Take a batch into account; waits for the device."""
        loss, systems, predictions, targets, extra_data = evaluation
        self.losses.append(loss.item())
        if only_loss:
            return
        with torch.no_grad():
            predictions, targets = (
                self.scaler.apply_scales(systems, maps, use_per_property_scales=False)
                for maps in (predictions, targets)
            )
        for accumulator in self.accumulators:
            accumulator.update(predictions, targets, extra_data)

    def summary(self, device: torch.device, is_distributed: bool) -> dict[str, float]:
        """Mean loss of the batches, and errors of the targets, of all processes.

        :return: empty if there were no batches
        """
        sums = [sum(self.losses), len(self.losses)]
        total = torch.tensor(sums, dtype=torch.float64, device=device)
        if is_distributed:
            torch.distributed.all_reduce(total)
        loss, num_batches = total.tolist()
        summary = {"loss": loss / num_batches} if num_batches > 0 else {}
        for accumulator in self.accumulators:
            summary |= accumulator.finalize(self.not_per_atom, is_distributed, device)
        return summary
