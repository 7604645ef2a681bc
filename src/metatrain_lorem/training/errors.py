"""Losses and errors of the batches of an epoch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from metatensor.torch import LabelsEntry
from metatrain.utils.data import TargetInfo
from metatrain.utils.metrics import MAEAccumulator, RMSEAccumulator

from .batch import Batch, Block, Blocks, mapped
from .scales import Scales


if TYPE_CHECKING:
    from .objective import Evaluation


class Errors:
    """Mean loss, and errors of all targets, of the batches of an epoch.

    Sums stay on the device until the end of the epoch.

    :param targets: descriptions of the targets
    :param scales: from the units of the loss to those of the data
    :param hypers: ``log_mae``, ``log_separate_blocks``, ``best_model_metric`` and
        ``per_structure_targets``
    """

    def __init__(
        self, targets: Mapping[str, TargetInfo], scales: Scales, hypers: Mapping[str, Any]
    ) -> None:
        self.targets = targets
        self.scales = scales
        self.separate = hypers["log_separate_blocks"]
        self.with_mae = hypers["log_mae"] or hypers["best_model_metric"] == "mae_prod"
        self.not_per_atom = ["positions_gradients", *hypers["per_structure_targets"]]
        self.losses: list[torch.Tensor] = []
        # Squared errors, absolute errors and number of errors, added up
        self.sums: dict[str, torch.Tensor] = {}

    def add(self, evaluation: "Evaluation", only_loss: bool = False) -> None:
        """Take a batch into account, without waiting for the device."""
        loss, predictions, batch = evaluation
        self.losses.append(loss.detach())
        if only_loss:
            return
        with torch.no_grad():
            for name, targets in batch.targets.items():
                self._add_target(name, predictions[name], targets, batch)

    def _add_target(
        self, name: str, predictions: Blocks, targets: Blocks, batch: Batch
    ) -> None:
        valid = batch.masks.get(f"{name}_mask")
        if valid is None:  # NaN stands for labels that do not exist
            valid = mapped(lambda values: ~values.isnan(), targets)
        predictions = Blocks(
            Block(p.values, {key: p.gradient(key) for key in t.gradients_list()})
            for p, t in zip(predictions, targets, strict=True)
        )
        differences = mapped(torch.sub, predictions, targets)
        differences = self.scales.multiply(name, differences, batch.graph.species)
        layout = self.targets[name].layout.keys
        for block, mask, key in zip(differences, valid, layout, strict=True):
            title = f"{name} ({_title(key)})" if self.separate else name
            self._add_values(title, block, mask)
            for gradient, part in block.parts.items():
                of_part = mask.gradient(gradient)
                self._add_values(f"{title}_{gradient}_gradients", part, of_part)

    def _add_values(self, title: str, differences: Block, mask: Block) -> None:
        values = differences.values.double().where(mask.values, 0.0)
        sums = [values.square().sum(), values.abs().sum(), mask.values.sum()]
        total = torch.stack(sums)
        self.sums[title] = self.sums[title] + total if title in self.sums else total

    def summary(self, device: torch.device, is_distributed: bool) -> dict[str, float]:
        """Mean loss of the batches, and errors of the targets, of all processes.

        :return: empty if there were no batches
        """
        losses = torch.stack(self.losses).double() if self.losses else torch.zeros(0)
        total = torch.tensor([losses.sum(), len(losses)], dtype=torch.float64).to(device)
        if is_distributed:
            torch.distributed.all_reduce(total)
        loss, num_batches = total.tolist()
        summary = {"loss": loss / num_batches} if num_batches > 0 else {}
        sums = {title: values.tolist() for title, values in self.sums.items()}
        for i, accumulator in enumerate((RMSEAccumulator(), MAEAccumulator())):
            if i == 0 or self.with_mae:
                for title, values in sums.items():
                    accumulator.information[title] = (values[i], int(values[2]))
                shared = (self.not_per_atom, is_distributed, device)
                summary |= accumulator.finalize(*shared)
        return summary


def _title(key: LabelsEntry) -> str:
    parts = zip(key.names, key.values.tolist(), strict=True)
    return ",".join(f"{name}={value}" for name, value in parts)
