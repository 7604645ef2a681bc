"""Equivariant charges of the atoms."""

import torch

from ..ops.rows import mean_rows, sum_rows, take_rows
from .features import Sizes
from .layers import mlp
from .tensor_product import TensorDense


class EquivariantCharges(torch.nn.Module):
    r"""One scalar charge from ``h``, and one per spherical component from ``x``.

    .. math::

        q_i = \left[ \mathrm{MLP}(h_i), \mathrm{TensorDense}(x_i)^{lm} \right],
        \quad l \le L_\mathrm{lr}

    :param sizes: sizes of the features
    :param max_degree_lr: highest degree of the charges
    """

    def __init__(self, sizes: Sizes, max_degree_lr: int) -> None:
        super().__init__()
        self.num_columns = 1 + (max_degree_lr + 1) ** 2  # charges of an atom
        self.scalar = mlp([sizes.num_features, 2 * sizes.num_features, 1])
        self.spherical = TensorDense(
            sizes.max_degree, max_degree_lr, sizes.num_spherical_features, 1
        )

    def forward(self, scalars: torch.Tensor, spherical: torch.Tensor) -> torch.Tensor:
        """``[N, d], [N, M, c] -> [N, 1 + (L_lr + 1)**2]``, the scalar charge first."""
        return torch.cat(
            [self.scalar(scalars), self.spherical(spherical).squeeze(2)], dim=1
        )

    def extra_repr(self) -> str:
        return f"num_columns={self.num_columns}"


def with_total_charge(
    charges: torch.Tensor, totals: torch.Tensor, systems: torch.Tensor
) -> torch.Tensor:
    r"""Charges whose first column adds up to the total charge of each system.

    .. math::

        q_i \leftarrow q_i + (Q - \textstyle\sum_j q_j) / N

    What is missing is shared evenly among all atoms of a system, near and far.

    :param charges: ``[N, C]``
    :param totals: total charge ``Q`` of each system, ``[S]``
    :param systems: system of each atom, ``[N]``
    """
    ones = torch.ones_like(charges[:, :1])
    num_systems = totals.shape[0]
    counts = sum_rows(ones, systems, num_systems).clamp(min=1.0)
    shifts = totals.to(charges.dtype).unsqueeze(1) / counts
    shifts = shifts - mean_rows(charges[:, :1], systems, num_systems)
    return torch.cat([charges[:, :1] + take_rows(shifts, systems), charges[:, 1:]], dim=1)
