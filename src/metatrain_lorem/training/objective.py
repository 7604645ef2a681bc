"""Loss and errors of a model on batches of structures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from metatrain.utils.abc import ModelInterface
from metatrain.utils.data import TargetInfo
from metatrain.utils.loss import LossAggregator

from .batch import Batch, Blocks, Conversion
from .errors import Errors
from .predictions import predict
from .scales import Scales


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
        loss = self.loss(predictions, batch.targets, batch.masks)
        return Evaluation(loss, predictions, batch)

    def errors(self) -> Errors:
        """What takes note of the evaluations of one epoch."""
        return Errors(self.targets, self.target_scales, self.hypers)
