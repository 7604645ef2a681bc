"""Loss and errors of a model on batches of structures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from metatrain.utils.abc import ModelInterface
from metatrain.utils.data import TargetInfo
from metatrain.utils.loss import (
    LossAggregator,
    TensorMapHuberLoss,
    TensorMapMAELoss,
    TensorMapMSELoss,
)

from .batch import Batch, Blocks, Conversion
from .errors import Errors
from .predictions import predict
from .scales import Scales


# Losses that compare number by number, all of them
POINTWISE = (TensorMapMSELoss, TensorMapMAELoss, TensorMapHuberLoss)


class Evaluation(NamedTuple):
    """Loss of a batch, and the predictions that it compares with the targets."""

    loss: torch.Tensor
    predictions: dict[str, Blocks]
    batch: Batch


class Objective:
    """What training minimizes.

    The loss sees extensive targets (energies, virials) per atom, and all targets
    divided by their scale.

    :param model: its scaler and the description of its targets are used
    :param dtype: floating-point type of the model
    :param device: device of the model
    :param conversion: that of the batches
    :param hypers: ``loss`` and those of :class:`.Errors`
    """

    def __init__(
        self,
        model: ModelInterface,
        dtype: torch.dtype,
        device: torch.device,
        conversion: Conversion,
        hypers: Mapping[str, Any],
    ) -> None:
        self.targets: dict[str, TargetInfo] = model.dataset_info.targets
        self.dtype = dtype
        self.device = device
        self.conversion = conversion
        self.hypers = hypers
        self.loss = LossAggregator(self.targets, hypers["loss"])
        # Batches hold targets divided by one scale each. Scales of single properties,
        # if a target has several, are left to the predictions.
        where = (dtype, device)
        self.scales = Scales(model.scaler, "scales", *where)
        self.target_scales = Scales(model.scaler, "per_target_scales", *where)
        self.property_scales = Scales(model.scaler, "per_property_scales", *where)

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

        :param network: a :class:`.Predictor`, or its wrapper for several processes
        :param batch: as it was read, in float64
        :param is_training: whether the loss will be differentiated
        """
        batch = batch.to(self.dtype, self.device)
        predictions = predict(network, batch, self.targets, is_training)
        for name, blocks in predictions.items():
            blocks = self.conversion.averaged(name, blocks, batch.num_atoms)
            species = batch.graph.species
            predictions[name] = self.property_scales.multiply(name, blocks, species)
        return Evaluation(self._loss(predictions, batch), predictions, batch)

    def _loss(self, predictions: dict[str, Blocks], batch: Batch) -> torch.Tensor:
        """metatrain's loss; it looks for missing labels only if there are some.

        That takes more time than the loss itself, and waits for the device.
        """
        terms = [t for t in self.loss.losses.values() if t.target in predictions]
        if not batch.complete or not all(isinstance(term, POINTWISE) for term in terms):
            return self.loss(predictions, batch.targets, batch.masks)
        total = torch.zeros((), dtype=self.dtype, device=self.device)
        for term in terms:
            both = predictions[term.target], batch.targets[term.target]
            if term.gradient in (None, *both[1][0].gradients_list()):
                flat = [_flat(blocks, term.gradient) for blocks in both]
                total = total + term.weight * term.torch_loss(*flat)
        return total

    def errors(self) -> Errors:
        """What takes note of the evaluations of one epoch."""
        return Errors(self.targets, self.target_scales, self.hypers)


def _flat(blocks: Blocks, gradient: str | None) -> torch.Tensor:
    parts = [block if gradient is None else block.gradient(gradient) for block in blocks]
    return torch.cat([part.values.flatten() for part in parts])
