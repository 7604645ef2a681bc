"""Spherical harmonics against e3nn, and norms at every scale."""

import pytest
import torch
from e3nn import o3
from helpers.systems import rotation
from helpers.tensors import random
from helpers.wigner import wigner_matrix

from metatrain_lorem.network.spherical import (
    DegreeNorms,
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


def naive_norms(features: torch.Tensor) -> torch.Tensor:
    max_degree = int(features.shape[1] ** 0.5) - 1
    norms = [
        (2 * l + 1) ** 0.25
        * torch.linalg.vector_norm(features[:, l**2 : (l + 1) ** 2], dim=1)
        for l in range(max_degree + 1)
    ]
    return torch.stack(norms, dim=1)


@pytest.mark.parametrize("max_degree", [0, 1, 6])
def test_norms(max_degree):
    features = random(5, (max_degree + 1) ** 2, 3)
    torch.testing.assert_close(
        DegreeNorms(max_degree)(features), naive_norms(features), rtol=1e-14, atol=0
    )


def test_smooth_norms():
    """Degree 0 keeps its sign, nothing else changes, and derivatives exist at zero."""
    features = random(5, 9, 3)
    norms, smooth = DegreeNorms(2)(features), DegreeNorms(2, smooth=True)(features)
    assert torch.equal(smooth[:, 0], features[:, 0])
    assert bool((smooth[:, 0] < 0).any())
    assert torch.equal(smooth[:, 1:], norms[:, 1:])
    features[:, 0] = 0.0
    assert torch.autograd.gradcheck(DegreeNorms(2, smooth=True), features.requires_grad_())


def test_norms_are_invariant():
    features, matrix = random(5, 49, 3), wigner_matrix(rotation(2), 6)
    turned = torch.einsum("ab,nbc->nac", matrix, features)
    torch.testing.assert_close(
        DegreeNorms(6)(turned), DegreeNorms(6)(features), rtol=1e-13, atol=0
    )


def test_norms_gradients():
    features = random(2, 9, 2).requires_grad_()
    assert torch.autograd.gradcheck(DegreeNorms(2), features)
    assert torch.autograd.gradgradcheck(DegreeNorms(2), features)


def derivatives_of_norms(
    features: torch.Tensor, direction: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Norms, their gradient, and how it changes along a direction."""
    features = features.clone().requires_grad_()
    norms = DegreeNorms(2)(features)
    (gradient,) = torch.autograd.grad(norms.sum(), features, create_graph=True)
    (second,) = torch.autograd.grad((gradient * direction).sum(), features)
    return norms.detach(), gradient.detach(), second


SCALES = [10.0**-n for n in range(2, 38)]


@pytest.mark.parametrize("scale", SCALES)
def test_norms_at_every_scale(scale):
    """In float32, ``|s x| = s |x|`` with the same gradient, and a second derivative
    of ``1 / s``, where ``s**2`` has long been rounded to zero.
    """
    features, direction = random(4, 9, 3), random(4, 9, 3, seed=1)
    expected = derivatives_of_norms(features, direction)
    norms, gradient, second = derivatives_of_norms(
        (features * scale).float(), direction.float()
    )
    torch.testing.assert_close(norms.double() / scale, expected[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient.double(), expected[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(second.double() * scale, expected[2], rtol=1e-4, atol=1e-5)


def test_norms_of_zero():
    """A block of zeros has zero derivatives, and does not disturb the others."""
    features, direction = random(4, 9, 3), random(4, 9, 3, seed=1)
    expected = derivatives_of_norms(features, direction)
    zeroed = features.clone()
    zeroed[:, 1:4] = 0
    zeroed[0] = 0
    for dtype in (torch.float32, torch.float64):
        results = derivatives_of_norms(zeroed.to(dtype), direction.to(dtype))
        for value, reference in zip(results, expected, strict=True):
            zeros = slice(1, 2) if value.shape[1] == 3 else slice(1, 4)
            assert not bool(value[0].any())
            assert not bool(value[:, zeros].any())
            torch.testing.assert_close(
                value[1:, zeros.stop :].double(),
                reference[1:, zeros.stop :],
                rtol=1e-5,
                atol=1e-5,
            )


def test_norms_of_mixed_scales():
    """Channels and degrees of very different size keep their accuracy."""
    features = random(3, 9, 4)
    scales = torch.tensor([1.0, 1e-10, 1e-20, 1e-30], dtype=torch.float64)
    norms = DegreeNorms(2)((features * scales).float())
    torch.testing.assert_close(
        norms.double(), naive_norms(features * scales), rtol=1e-6, atol=0
    )
