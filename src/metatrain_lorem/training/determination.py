"""Coefficients of determination, by which lorem-jax chooses its best model."""

from typing import Any

import torch
from metatrain.utils.metrics import get_selected_metric

from .batch import Block


R2_SUM = "R2 sum"


class Determination:
    r"""Sum of the coefficients of determination of all targets and their gradients,

    .. math::

        R^2 = 1 - \frac{\sum_i (y_i - \hat y_i)^2}{\sum_i (y_i - \bar y)^2}

    over all numbers that a target has, energies per atom and after the baseline. Labels
    that are not a number are left out, and so are targets whose labels are all the same.
    """

    def __init__(self) -> None:
        # for each target, sums in float64: 1, label, label^2, error^2
        self.sums: dict[str, torch.Tensor] = {}

    def add(self, name: str, errors: Block, labels: Block, mask: Block | None) -> None:
        """Take a block of a target into account, without waiting for the device.

        :param mask: which labels there are, all of them by default
        """
        error, label = errors.values.double(), labels.values.double()
        known = torch.ones_like(label) if mask is None else mask.values.double()
        if mask is not None:
            error, label = (x.where(mask.values, 0.0) for x in (error, label))
        parts = [known, label, label.square(), error.square()]
        sums = torch.stack([part.sum() for part in parts])
        self.sums[name] = self.sums[name] + sums if name in self.sums else sums
        for key, part in errors.parts.items():
            of_part = None if mask is None else mask.gradient(key)
            self.add(f"{name}_{key}_gradients", part, labels.gradient(key), of_part)

    def summary(self, is_distributed: bool) -> dict[str, float]:
        """The sum over all targets of all processes, empty if there is none."""
        own = {name: sums.tolist() for name, sums in self.sums.items()}
        parts: list[Any] = [own]
        if is_distributed:
            parts = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, own)
        coefficients = []
        for name in sorted({name for part in parts for name in part}):
            columns = zip(*(part[name] for part in parts if name in part), strict=True)
            number, labels, squares, errors = map(sum, columns)
            variance = squares - labels**2 / number if number else 0.0
            if variance > 1e-12 * squares:
                coefficients.append(1 - errors / variance)
        return {R2_SUM: sum(coefficients)} if coefficients else {}


def selected_metric(metrics: dict[str, float], name: str) -> float:
    """What the best model minimizes.

    :param name: hyper-parameter ``best_model_metric``
    :raises ValueError: if the labels of the validation structures do not vary
    """
    if name != "r2_sum":
        return get_selected_metric(metrics, name)
    if R2_SUM not in metrics:
        raise ValueError(
            "`best_model_metric: r2_sum` needs validation structures whose labels vary"
        )
    return -metrics[R2_SUM]
