"""Equivariant charges of the atoms."""

import torch

from .layers import mlp
from .tensor_product import TensorDense


class EquivariantCharges(torch.nn.Module):
    r"""One scalar charge from ``h``, and one per spherical component from ``x``.

    .. math::

        q_i = \left[ \mathrm{MLP}(h_i), \mathrm{TensorDense}(x_i)^{lm} \right],
        \quad l \le L_\mathrm{lr}

    :param num_features: number of scalar features ``d``
    :param max_degree: highest degree ``L`` of the spherical features
    :param num_spherical_features: channels ``c`` of the spherical features
    :param max_degree_lr: highest degree of the charges
    """

    def __init__(
        self,
        num_features: int,
        max_degree: int,
        num_spherical_features: int,
        max_degree_lr: int,
    ) -> None:
        super().__init__()
        self.scalar = mlp([num_features, 2 * num_features, 1])
        self.spherical = TensorDense(max_degree, max_degree_lr, num_spherical_features, 1)

    def forward(self, scalars: torch.Tensor, spherical: torch.Tensor) -> torch.Tensor:
        """``[N, d], [N, M, c] -> [N, 1 + (L_lr + 1)**2]``"""
        return torch.cat(
            [self.scalar(scalars), self.spherical(spherical).squeeze(2)], dim=1
        )
