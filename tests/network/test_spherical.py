"""Spherical harmonics against e3nn."""

import pytest
import torch
from e3nn import o3
from helpers.systems import rotation
from helpers.tensors import random
from helpers.wigner import wigner_matrix

from metatrain_lorem.network.spherical import (
    SphericalHarmonics,
    degrees_of_components,
)
from metatrain_lorem.ops.safe_norm import safe_norm


def harmonics(vectors: torch.Tensor, max_degree: int) -> torch.Tensor:
    """``[W, 3] -> [W, M]``"""
    vectors = vectors.unsqueeze(0)
    values = SphericalHarmonics(max_degree)(vectors, safe_norm(vectors))
    return values[0].T


@pytest.mark.parametrize("max_degree", range(9))
def test_e3nn(max_degree):
    """The same as e3nn's when it is fed with y, z, x."""
    vectors = random(50, 3)
    expected = o3.spherical_harmonics(
        list(range(max_degree + 1)),
        vectors[:, [1, 2, 0]],
        normalize=True,
        normalization="norm",
    )
    torch.testing.assert_close(harmonics(vectors, max_degree), expected, rtol=0, atol=1e-13)


def test_degree_one_is_y_z_x():
    vectors = torch.tensor([[1.0, 2.0, -2.0]], dtype=torch.float64)
    expected = torch.tensor([[1.0, 2 / 3, -2 / 3, 1 / 3]], dtype=torch.float64)
    torch.testing.assert_close(harmonics(vectors, 1), expected, rtol=0, atol=1e-15)


def test_normalization():
    values = harmonics(random(50, 3), 6)
    sums = torch.zeros(50, 7, dtype=torch.float64).index_add(
        1, degrees_of_components(6), values**2
    )
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-13)


def test_axes():
    """On the axes, where powers of zero appear."""
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    expected = o3.spherical_harmonics(
        list(range(7)), axes[:, [1, 2, 0]], normalize=True, normalization="norm"
    )
    torch.testing.assert_close(harmonics(axes, 6), expected, rtol=0, atol=1e-14)


def test_rotation_and_inversion():
    vectors, matrix = random(20, 3), rotation(4)
    turned = harmonics(vectors @ matrix.T, 6)
    expected = harmonics(vectors, 6) @ wigner_matrix(matrix, 6).T
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-13)
    signs = (-1.0) ** degrees_of_components(6)
    torch.testing.assert_close(
        harmonics(-vectors, 6), harmonics(vectors, 6) * signs, rtol=0, atol=0
    )


def test_length_does_not_matter():
    vectors = random(20, 3)
    for length in (1e-12, 1e-3, 1e6):
        torch.testing.assert_close(
            harmonics(length * vectors, 6), harmonics(vectors, 6), rtol=0, atol=1e-13
        )


def test_gradients():
    vectors = random(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: harmonics(v, 4), vectors)
    assert torch.autograd.gradgradcheck(lambda v: harmonics(v, 4), vectors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-25, 1e-12])
def test_zero_vector(length, dtype):
    """Finite with both derivatives, where float32 has lost the length altogether."""
    vectors = (length * random(5, 3)).to(dtype).requires_grad_()
    values = harmonics(vectors, 6)
    assert bool(torch.isfinite(values).all())
    if length == 0:
        assert bool((values[:, 0] == 1).all())
        (gradient,) = torch.autograd.grad(values.sum(), vectors, create_graph=True)
        (second,) = torch.autograd.grad(gradient.sum(), vectors, allow_unused=True)
        assert bool(torch.isfinite(gradient).all())
        assert second is None or bool(torch.isfinite(second).all())
