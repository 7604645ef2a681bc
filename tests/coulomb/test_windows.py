"""Windows that split Coulomb sums, against what they are made for."""

import math

import pytest
import torch

from metatrain_lorem.coulomb.truncation import FINEST
from metatrain_lorem.coulomb.windows import cosine_window


ACCURACIES = [1e-2, 1e-6, 1e-10, FINEST]


def transform(omega: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
    """Of the cosine series, term by term."""
    ratios, orders = omega.unsqueeze(1) / math.pi, torch.arange(len(coefficients))
    return (torch.sinc(ratios - orders) + torch.sinc(ratios + orders)) @ coefficients


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_quadrature(accuracy):
    """The transform is one at zero, and all that sums need of it is exact."""
    window = cosine_window(accuracy)
    omega = torch.linspace(0, window.bandwidth, 50, dtype=torch.float64)
    values = torch.cos(torch.outer(omega, window.nodes)) @ window.weights
    expected = transform(omega, window.coefficients)
    assert float(expected[0]) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(values, expected, rtol=0, atol=0.1 * accuracy)


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_ends(accuracy):
    """Zero: the window at its edge, the transform and two derivatives at the bandwidth."""
    window = cosine_window(accuracy)
    signs = torch.cos(math.pi * torch.arange(len(window.coefficients)).double())
    assert abs(float(signs @ window.coefficients)) < 1e-13
    phases = window.bandwidth * window.nodes
    for order, wave in enumerate([torch.cos, torch.sin, torch.cos]):
        assert abs(float(wave(phases) * window.nodes**order @ window.weights)) < 1e-13


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_weight_beyond_the_bandwidth(accuracy):
    """Forces of neglected k-vectors at random positions, times the factor for crystals."""
    window = cosine_window(accuracy)
    c = window.bandwidth
    omega = torch.linspace(c, c + 80, 4000, dtype=torch.float64)
    tail = transform(omega, window.coefficients)
    error = 4 * math.sqrt(8 * float(torch.trapezoid(tail**2, omega)))
    assert error == pytest.approx(window.error, rel=0.05, abs=2e-13)
    assert 0.3 * accuracy < window.error <= accuracy
