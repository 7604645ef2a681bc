"""Readouts: from scalar features to predictions of each atom."""

import torch

from .initialization import linear, mlp


class Readout(torch.nn.Module):
    r"""Sum of one neural network per stage of the features.

    .. math::

        p_i = \sum_s \mathrm{MLP}_s(h_i^{(s)}), \quad d \to d \to d \to \text{outputs}

    :param num_stages: number of stages
    :param num_features: number of scalar features ``d``
    :param num_outputs: number of predicted values per atom
    """

    def __init__(self, num_stages: int, num_features: int, num_outputs: int) -> None:
        super().__init__()
        self.heads = torch.nn.ModuleList(
            torch.nn.Sequential(
                mlp([num_features, num_features, num_features]), torch.nn.SiLU()
            )
            for _ in range(num_stages)
        )
        self.last_layers = torch.nn.ModuleList(
            linear(num_features, num_outputs) for _ in range(num_stages)
        )

    def features(self, stages: list[torch.Tensor]) -> list[torch.Tensor]:
        """Inputs of the last, linear layers, each ``[N, d]``."""
        return [head(stages[i]) for i, head in enumerate(self.heads)]

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Predictions ``[N, outputs]`` from the result of :meth:`features`."""
        outputs = self.last_layers[0](features[0])
        for i, layer in enumerate(self.last_layers):
            if i > 0:
                outputs = outputs + layer(features[i])
        return outputs
