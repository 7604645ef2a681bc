"""Residual update of the scalar features of the atoms."""

import torch

from .layer_norm import LayerNorm
from .layers import mlp


# flax's default; torch's 1e-5 would shift energies by 1e-4 eV.
LAYER_NORM_EPS = 1e-6


class Update(torch.nn.Module):
    r"""Mix new information ``u`` into the scalar features ``h``.

    .. math::

        h &\leftarrow \mathrm{LayerNorm}(h + \mathrm{MLP}(u)) \\
        h &\leftarrow \mathrm{LayerNorm}(h + \mathrm{MLP}(h))

    with one hidden layer of ``2 d`` units each (arXiv:2507.19382, "Update").

    :param num_features: number of scalar features ``d``
    :param num_inputs: width of the new information
    """

    def __init__(self, num_features: int, num_inputs: int) -> None:
        super().__init__()
        self.mix = mlp([num_inputs, 2 * num_features, num_features])
        self.mix_norm = LayerNorm(num_features, eps=LAYER_NORM_EPS)
        self.transform = mlp([num_features, 2 * num_features, num_features])
        self.transform_norm = LayerNorm(num_features, eps=LAYER_NORM_EPS)

    def forward(self, features: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """``[N, d], [N, num_inputs] -> [N, d]``"""
        features = self.mix_norm(features + self.mix(inputs))
        return self.transform_norm(features + self.transform(features))
