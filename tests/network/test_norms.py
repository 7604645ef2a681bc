"""Invariants of spherical features, at every scale."""

import pytest
import torch
from helpers.systems import rotation
from helpers.tensors import random
from helpers.wigner import wigner_matrix

from metatrain_lorem.network.norms import (
    DegreeNorms,
    SmoothNorms,
    degree_factors,
    make_norms,
)


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


def test_signed_norms():
    """Degree 0 keeps its sign, nothing else changes, and derivatives exist at zero."""
    features = random(5, 9, 3)
    norms, signed = DegreeNorms(2)(features), DegreeNorms(2, signed=True)(features)
    assert torch.equal(signed[:, 0], features[:, 0])
    assert bool((signed[:, 0] < 0).any())
    assert torch.equal(signed[:, 1:], norms[:, 1:])
    features[:, 0] = 0.0
    assert torch.autograd.gradcheck(DegreeNorms(2, signed=True), features.requires_grad_())


def test_smooth_norms_of_large_and_small_features():
    """A norm up to a constant, and a square; degree 0 as it is."""
    features, width = random(5, 9, 3), 1e-8
    large, norms = SmoothNorms(2, width)(features), naive_norms(features)
    assert torch.equal(large[:, 0], features[:, 0])
    torch.testing.assert_close(large[:, 1:], norms[:, 1:], rtol=1e-6, atol=0)
    factors = degree_factors(2)
    small = SmoothNorms(2, 1 / width)(features)
    squares = (norms / factors) ** 2 * factors * width / 2
    torch.testing.assert_close(small[:, 1:], squares[:, 1:], rtol=1e-12, atol=0)


@pytest.mark.parametrize("scale", [1.0, 1e-4, 0.0])
def test_smooth_norms_have_derivatives(scale):
    features = (scale * random(2, 9, 2)).requires_grad_()
    norms = SmoothNorms(2, 0.1)
    assert torch.autograd.gradcheck(norms, features)
    assert torch.autograd.gradgradcheck(norms, features)


@pytest.mark.parametrize("scale", [1e-2, 1e-10, 1e-20, 1e-30, 0.0])
def test_smooth_norms_in_float32(scale):
    """No digits are lost near zero, to the second derivative."""
    features, direction = scale * random(4, 9, 3), random(4, 9, 3, seed=1)
    norms = SmoothNorms(2, 0.1)
    expected = derivatives_of_norms(norms, features, direction)
    results = derivatives_of_norms(norms, features.float(), direction.float())
    for value, reference in zip(results, expected, strict=True):
        torch.testing.assert_close(value.double(), reference, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("kind", ["smooth", "paper", "signed"])
def test_norms_are_invariant(kind):
    features, matrix = random(5, 49, 3), wigner_matrix(rotation(2), 6)
    turned = torch.einsum("ab,nbc->nac", matrix, features)
    norms = make_norms(kind, 6, 0.1)
    torch.testing.assert_close(norms(turned), norms(features), rtol=1e-13, atol=1e-15)


def test_norms_gradients():
    features = random(2, 9, 2).requires_grad_()
    assert torch.autograd.gradcheck(DegreeNorms(2), features)
    assert torch.autograd.gradgradcheck(DegreeNorms(2), features)


def derivatives_of_norms(
    norms: torch.nn.Module, features: torch.Tensor, direction: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Norms, their gradient, and how it changes along a direction."""
    features = features.clone().requires_grad_()
    values = norms(features)
    (gradient,) = torch.autograd.grad(values.sum(), features, create_graph=True)
    (second,) = torch.autograd.grad((gradient * direction).sum(), features)
    return values.detach(), gradient.detach(), second


SCALES = [10.0**-n for n in range(2, 38)]


@pytest.mark.parametrize("scale", SCALES)
def test_norms_at_every_scale(scale):
    """In float32, ``|s x| = s |x|`` with the same gradient, and a second derivative
    of ``1 / s``, where ``s**2`` has long been rounded to zero.
    """
    features, direction = random(4, 9, 3), random(4, 9, 3, seed=1)
    expected = derivatives_of_norms(DegreeNorms(2), features, direction)
    norms, gradient, second = derivatives_of_norms(
        DegreeNorms(2), (features * scale).float(), direction.float()
    )
    torch.testing.assert_close(norms.double() / scale, expected[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient.double(), expected[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(second.double() * scale, expected[2], rtol=1e-4, atol=1e-5)


def test_norms_of_zero():
    """A block of zeros has zero derivatives, and does not disturb the others."""
    features, direction = random(4, 9, 3), random(4, 9, 3, seed=1)
    expected = derivatives_of_norms(DegreeNorms(2), features, direction)
    zeroed = features.clone()
    zeroed[:, 1:4] = 0
    zeroed[0] = 0
    for dtype in (torch.float32, torch.float64):
        results = derivatives_of_norms(
            DegreeNorms(2), zeroed.to(dtype), direction.to(dtype)
        )
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
