r"""The window of :class:`.CompactSplit`: a short cosine series, best for its purpose."""

import functools
import math
from typing import NamedTuple

import torch

from .truncation import FINEST, SAFETY


EDGE_ORDER = 3  # of the zero of the Fourier transform at the bandwidth


class Window(NamedTuple):
    """An even function on [-1, 1] with the integral 1, and its Fourier transform."""

    coefficients: torch.Tensor  # [N + 1] of cos(n pi x)
    bandwidth: float  # c, where the Fourier transform ends
    error: float  # of sums that end there, see `truncation`
    nodes: torch.Tensor  # [J] on [0, 1], of a quadrature
    weights: torch.Tensor  # [J], so that cos(w nodes) @ weights is the transform at w


@functools.cache
def cosine_window(accuracy: float) -> Window:
    """The window of the smallest bandwidth at which sums have an accuracy.

    :param accuracy: see :mod:`.truncation`
    """
    bandwidth = 6.0
    window = window_of_bandwidth(bandwidth)
    while window.error > max(accuracy, FINEST):
        bandwidth += 0.25
        window = window_of_bandwidth(bandwidth)
    return window


def window_of_bandwidth(bandwidth: float) -> Window:
    r"""The window whose Fourier transform is smallest beyond a wave number :math:`c`.

    Smallest is :math:`\int_c^\infty \hat w(\omega)^2 d\omega`, which gives the forces of
    neglected k-vectors: for atoms at random positions, their error in the units of
    :mod:`.truncation` is

    .. math::

        \delta F = \left( \frac{8 d}{r_c} \int_c^\infty \hat w(\omega)^2 d\omega
        \right)^{1/2}

    and largest for :math:`d = r_c`. Linear constraints are the integral of the window,
    zeros of :math:`w` and its slope at the edge, and of :math:`\hat w` and its first two
    derivatives at :math:`c`.
    """
    num_orders = max(6, round(bandwidth / math.pi) + 1) + 1
    orders = torch.arange(num_orders, dtype=torch.float64)
    omega, weights = _quadrature(100, bandwidth, bandwidth + 80)
    beyond = _transforms(omega, orders) * weights.sqrt().unsqueeze(1)

    # As many nodes as the largest wave number and the smallest error need
    nodes, weights = _quadrature(round(0.85 * bandwidth) - 1, 0, 1)
    waves = torch.cos(math.pi * torch.outer(nodes, orders))  # [J, N + 1]
    constraints = [(orders == 0).double(), torch.cos(math.pi * orders)]
    for order in range(EDGE_ORDER):
        derivatives = torch.cos(bandwidth * nodes + 0.5 * math.pi * order) * nodes**order
        constraints.append((2 * weights * derivatives) @ waves)
    values = torch.zeros(len(constraints), dtype=torch.float64)
    values[0] = 0.5
    coefficients = _least_squares(beyond, torch.stack(constraints), values)

    weight_beyond = float(torch.linalg.vector_norm(beyond @ coefficients))
    return Window(
        coefficients,
        bandwidth,
        SAFETY * math.sqrt(8) * weight_beyond,
        nodes,
        2 * weights * (waves @ coefficients),
    )


def powers_of_cosine(sines: torch.Tensor) -> torch.Tensor:
    r"""A series of sines as a polynomial.

    .. math::

        \sum_{n=1}^{N} s_n \sin n t = \sin t \sum_{m=0}^{N-1} p_m \cos^m t

    :param sines: ``[N]``, at least two
    :return: ``[N]``
    """
    before, last = torch.zeros_like(sines), torch.zeros_like(sines)
    last[0] = 1.0  # U_0 of Chebyshev's polynomials, then U_1 = 2 x U_0, ...
    total = torch.zeros_like(sines)
    for factor in sines:
        total += factor * last
        before, last = last, 2 * last.roll(1) - before
    return total


def _transforms(omega: torch.Tensor, orders: torch.Tensor) -> torch.Tensor:
    """Fourier transforms of ``cos(n pi x)`` on [-1, 1]."""
    ratios = omega.unsqueeze(1) / math.pi
    return torch.sinc(ratios - orders) + torch.sinc(ratios + orders)


@functools.cache
def _gauss_legendre(num_nodes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights on [-1, 1] (Golub and Welsch, Math. Comput. 23, 221 (1969))."""
    n = torch.arange(1, num_nodes, dtype=torch.float64)
    off_diagonal = torch.diag(n / torch.sqrt(4 * n * n - 1), 1)
    nodes, vectors = torch.linalg.eigh(off_diagonal + off_diagonal.T)
    return nodes, 2 * vectors[0] ** 2


def _quadrature(
    num_nodes: int, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    nodes, weights = _gauss_legendre(num_nodes)
    half = 0.5 * (high - low)
    return half * nodes + 0.5 * (high + low), half * weights


def _least_squares(
    matrix: torch.Tensor, constraints: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """The smallest ``matrix @ x`` for which ``constraints @ x`` has some values."""
    start = torch.linalg.pinv(constraints) @ values
    free = torch.linalg.svd(constraints)[2][len(values) :].T
    steps = torch.linalg.lstsq(matrix @ free, -(matrix @ start).unsqueeze(1)).solution
    return start + (free @ steps).squeeze(1)
