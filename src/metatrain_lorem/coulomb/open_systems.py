"""Systems without periodic directions: bare sums over all pairs."""

import math

import torch

from ..ops.budget import MEMORY
from .all_pairs import AllPairs, apart


class OpenSum(AllPairs):
    r"""Bare sums :math:`v_i = \sum_{j \ne i} q_j / r_{ij}` over all pairs.

    Squared distances come from a matrix product in double precision, relative to the
    center of the system: their error is about ``1e-15`` times the square of its extent.

    :param memory: bytes that the working arrays may take
    """

    def __init__(self, memory: int = MEMORY) -> None:
        super().__init__(6, memory)

    def forward(self, positions: torch.Tensor, charges: torch.Tensor) -> torch.Tensor:
        """Potentials of ``B`` systems, not halved.

        :param positions: ``[B, N, 3]``
        :param charges: ``[B, N, C]``, zero for padding
        :return: ``[B, N, C]``
        """
        exact = (positions - positions.detach().mean(1, keepdim=True)).to(torch.float64)
        squares = (exact * exact).sum(2, keepdim=True)
        ones = torch.ones_like(squares)
        left = torch.cat([-2 * exact, squares, ones], dim=2)
        right = torch.cat([exact, ones, squares], dim=2).transpose(1, 2)
        return self.all_rows(left, [right, charges])

    def rows(
        self, atoms: torch.Tensor, others: list[torch.Tensor], start: int
    ) -> torch.Tensor:
        """See :class:`.AllPairs`. The backward pass keeps a pair's inverse distance only.

        :param atoms: ``[B, n, 5]``, whose product with the first of the others, ``[B, 5,
            N]``, is the squared distances
        """
        right, charges = others[0], others[1]
        squares = apart(torch.bmm(atoms, right), start, math.inf)  # [B, n, N]
        return torch.bmm(squares.to(charges.dtype).rsqrt(), charges)
