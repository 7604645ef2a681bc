"""Radial functions against their definition."""

import math

import pytest
import torch

from metatrain_lorem.network.radial import ZERO, RadialBasis


CUTOFF = 4.5


def bernstein(
    distances: torch.Tensor, num_radial: int, num_dropped: int = 0
) -> torch.Tensor:
    """The formula of the class, term by term."""
    degree = num_radial - 1 + num_dropped
    x = distances / CUTOFF
    cutoff_function = 0.5 * (1 + torch.cos(math.pi * x)) * (x < 1)
    functions = [
        math.comb(degree, k) * x**k * (1 - x) ** (degree - k) * cutoff_function
        for k in range(num_radial)
    ]
    return torch.stack(functions, dim=-1)


def basis(distances: torch.Tensor, num_radial: int, num_dropped: int = 0) -> torch.Tensor:
    """``[W] -> [W, K]``"""
    values = RadialBasis(CUTOFF, num_radial, num_dropped)(distances.unsqueeze(0))
    assert values.shape == (1, num_radial, len(distances))
    return values[0].T


@pytest.mark.parametrize("size", [(1, 0), (2, 0), (8, 2), (32, 0), (32, 2)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)]
)
def test_definition(size, dtype, tolerance):
    distances = torch.linspace(1e-3, 1.2, 500, dtype=torch.float64) * CUTOFF
    values = basis(distances.to(dtype), *size)
    torch.testing.assert_close(
        values.double(), bernstein(distances, *size), rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("num_dropped", [0, 1, 2])
def test_order_of_the_cutoff(num_dropped):
    """Sums of all functions fall to zero like the power that is stated."""
    left = torch.tensor([2e-3, 1e-3], dtype=torch.float64)
    values = basis(CUTOFF * (1 - left), 8, num_dropped).sum(-1)
    assert float(values[0] / values[1]) == pytest.approx(2 ** (2 + num_dropped), rel=0.02)


def test_batch():
    distances = torch.linspace(0, CUTOFF, 24, dtype=torch.float64)
    values = RadialBasis(CUTOFF, 8)(distances.reshape(4, 6))
    expected = basis(distances, 8).reshape(4, 6, 8).transpose(1, 2)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-15)


def test_relative_accuracy():
    """Small values are as accurate as large ones, down to the smallest."""
    distances = torch.linspace(0.05, 0.98, 200, dtype=torch.float64) * CUTOFF
    torch.testing.assert_close(
        basis(distances, 32), bernstein(distances, 32), rtol=1e-11, atol=ZERO
    )


def test_sum_is_the_cutoff_function():
    distances = torch.linspace(1e-3, 1, 100, dtype=torch.float64) * CUTOFF
    expected = 0.5 * (1 + torch.cos(math.pi * distances / CUTOFF))
    torch.testing.assert_close(basis(distances, 32).sum(-1), expected, rtol=0, atol=1e-12)


def test_ends():
    """One at zero for the first function; values and slopes vanish at the cutoff."""
    scales = [0.0, 1 - 1e-9, 1.0, 1 + 1e-9]
    distances = CUTOFF * torch.tensor(scales, dtype=torch.float64)
    distances.requires_grad_()
    values = basis(distances, 8)
    (slopes,) = torch.autograd.grad(values.sum(), distances)
    values = values.detach()
    first = torch.eye(8, dtype=torch.float64)[0]
    torch.testing.assert_close(values[0], first, rtol=0, atol=1e-10)
    assert float(values[1].max()) < 1e-16
    assert abs(float(slopes[1])) < 1e-8
    assert not bool(values[2:].any())
    assert not bool(slopes[2:].any())


def test_gradients():
    distances = torch.linspace(0.02, 1.1, 12, dtype=torch.float64) * CUTOFF
    distances.requires_grad_()
    assert torch.autograd.gradcheck(lambda r: basis(r, 8), distances)
    assert torch.autograd.gradgradcheck(lambda r: basis(r, 8), distances)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_radial", [1, 8, 32, 128])
def test_finite_everywhere(num_radial, dtype):
    """At zero, close to it, at the cutoff, and in the empty slots far beyond it."""
    scales = [0.0, 1e-30, 1e-12, 1e-6, 1 - 1e-7, 1.0, 1 + 1e-7, 2 * math.sqrt(3), 100.0]
    distances = (CUTOFF * torch.tensor(scales, dtype=dtype)).requires_grad_()
    values = basis(distances, num_radial)
    (slopes,) = torch.autograd.grad(values.sum(), distances, create_graph=True)
    (curvatures,) = torch.autograd.grad(slopes.sum(), distances)
    for tensor in (values, slopes, curvatures):
        assert bool(torch.isfinite(tensor).all())
    assert not bool(values[5:].any())
