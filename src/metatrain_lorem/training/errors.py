"""Losses and errors of the batches of an epoch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from metatensor.torch import LabelsEntry
from metatrain.utils.data import TargetInfo
from metatrain.utils.metrics import MAEAccumulator, RMSEAccumulator

from .batch import Batch, Block, Blocks, mapped
from .determination import Determination
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
        self.scales = scales
        separate = hypers["log_separate_blocks"]
        self.titles = {
            name: [_title(name, key, separate) for key in info.layout.keys]
            for name, info in targets.items()
        }
        self.with_mae = hypers["log_mae"] or hypers["best_model_metric"] == "mae_prod"
        self.not_per_atom = ["positions_gradients", *hypers["per_structure_targets"]]
        with_r2 = hypers["best_model_metric"] == "r2_sum"
        self.determination = Determination() if with_r2 else None
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
        if valid is None and not batch.complete:
            valid = mapped(lambda values: ~values.isnan(), targets)
        predictions = Blocks(
            Block(p.values, {key: p.gradient(key) for key in t.gradients_list()})
            for p, t in zip(predictions, targets, strict=True)
        )
        errors = mapped(torch.sub, predictions, targets)
        errors = self.scales.multiply(name, errors, batch.graph.species)
        labels = targets
        if self.determination is not None:
            labels = self.scales.multiply(name, targets, batch.graph.species)
        for i, block in enumerate(errors):
            mask = None if valid is None else valid[i]
            if self.determination is not None:
                self.determination.add(name, block, labels[i], mask)
            self._add_values(self.titles[name][i], block, mask)
            for key, part in block.parts.items():
                of_part = None if mask is None else mask.gradient(key)
                self._add_values(f"{self.titles[name][i]}_{key}_gradients", part, of_part)

    def _add_values(self, title: str, errors: Block, mask: Block | None) -> None:
        values = errors.values.double()
        number = values.new_full((), values.numel())
        if mask is not None:
            values, number = values.where(mask.values, 0.0), mask.values.sum()
        sums = torch.stack([values.square().sum(), values.abs().sum(), number])
        self.sums[title] = self.sums[title] + sums if title in self.sums else sums

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
        if self.determination is not None:
            summary |= self.determination.summary(is_distributed)
        return summary


def _title(name: str, key: LabelsEntry, separate: bool) -> str:
    parts = zip(key.names, key.values.tolist(), strict=True)
    of_block = ",".join(f"{part}={value}" for part, value in parts)
    return f"{name} ({of_block})" if separate else name
