"""Cardinal B-splines, on the points of a mesh and on its waves."""

import math
from fractions import Fraction

import torch


class BSpline(torch.nn.Module):
    """Cardinal B-spline of order ``p``: ``p`` polynomials of degree ``p - 1``.

    :param order: order ``p``
    """

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order = order
        # Integers stay exact in models of single precision.
        coefficients = torch.tensor(spline_coefficients(order)).reshape(order, order)
        self.register_buffer("coefficients", coefficients, persistent=False)
        self.denominator = 2.0 ** (order - 1) * math.factorial(order - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values in all intervals, ``[N, 3] -> [N, 3, p]``.

        :param x: coordinate from the middle of an interval, ``-1/2 ... 1/2``
        """
        powers = [torch.ones_like(x)]
        for _ in range(1, self.order):
            powers.append(powers[-1] * x)
        coefficients = self.coefficients.to(x.dtype) / self.denominator  # [p, p]
        return torch.stack(powers, dim=2) @ coefficients

    def factors(self, n: torch.Tensor, size: int) -> torch.Tensor:
        """``D(n)`` of :class:`.mesh.MeshSum` along one axis.

        :param n: indices of the waves
        :param size: points of the mesh
        """
        images = torch.arange(-8, 9, device=n.device, dtype=n.dtype)
        sinc = torch.sinc(n.unsqueeze(1) / size + images) ** (2 * self.order)
        return sinc[:, 8] / sinc.sum(1) ** 2


def spline_coefficients(order: int) -> list[int]:
    """Polynomials of a B-spline on its ``order`` intervals.

    :return: coefficients of ``x**power``, with ``x = -1/2 ... 1/2`` from the middle of
        an interval, times ``2**(order - 1) (order - 1)!``, at ``[power * order +
        interval]``
    """
    # In the middle of interval j of M_n, t = j + 1/2 + x, and
    # (n - 1) M_n(t) = t M_{n-1}(t) + (n - t) M_{n-1}(t - 1)
    pieces = [[Fraction(1)]]
    for n in range(2, order + 1):
        nothing = [Fraction(0)] * (n - 1)
        padded = [nothing, *pieces, nothing]
        pieces = []
        for j in range(n):
            same, before, middle = padded[j + 1], padded[j], j + Fraction(1, 2)
            terms = [middle * a + (n - middle) * b for a, b in zip(same, before)]
            raised = [a - b for a, b in zip(same, before)]
            sums = zip([*terms, Fraction(0)], [Fraction(0), *raised])
            pieces.append([(a + b) / (n - 1) for a, b in sums])
    scale = 2 ** (order - 1) * math.factorial(order - 1)
    return [int(scale * piece[power]) for power in range(order) for piece in pieces]
