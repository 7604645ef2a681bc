"""Scales of the targets as plain tensors."""

from typing import Literal

import torch
from metatrain.scaler import Scaler

from .batch import Blocks, mapped


class Scales:
    """Numbers by which the values of targets are multiplied; ones cost nothing.

    There is one number for each property of a block and, if the target is given per atom,
    each atomic type.

    :param scaler: after its fit
    :param kind: all ``scales``, or those that a target or a property has of its own: the
        former is the product of both
    """

    def __init__(
        self,
        scaler: Scaler,
        kind: Literal["scales", "per_target_scales", "per_property_scales"],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.index = scaler.model.type_to_index.to(device)
        self.values: dict[str, list[torch.Tensor]] = {}  # [1 or atomic types, properties]
        for name, blocks in getattr(scaler.model, kind).items():
            values = [block.values.to(device, torch.float64) for block in blocks.blocks()]
            if not all(bool((scales == 1).all()) for scales in values):
                self.values[name] = [scales.to(dtype) for scales in values]

    def multiply(
        self, name: str, blocks: Blocks, species: torch.Tensor, power: int = 1
    ) -> Blocks:
        """Multiply values and gradients of a target, or divide them (``power`` -1).

        :param species: atomic numbers of all atoms, ``[N]``
        """
        if name not in self.values:
            return blocks
        results = Blocks()
        for block, scales in zip(blocks, self.values[name], strict=True):
            if len(scales) > 1:
                scales = scales[self.index[species]]  # [N, properties]
            factors = scales**power

            def multiply(values: torch.Tensor, x: torch.Tensor = factors) -> torch.Tensor:
                shape = [x.shape[0], *[1] * (values.dim() - 2), x.shape[1]]
                return values * x.view(shape)

            results += mapped(multiply, Blocks([block]))
        return results
