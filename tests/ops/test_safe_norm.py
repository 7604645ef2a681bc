"""Lengths of vectors at every length."""

import torch

from metatrain_lorem.ops.safe_norm import safe_norm


def test_safe_norm():
    """Exact at every length; zero gradient and finite derivatives at length zero."""
    vectors = torch.tensor(
        [[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [1e-9, 0.0, 0.0], [0.0, -2.0, 1.5]],
        dtype=torch.float64,
        requires_grad=True,
    )
    lengths = safe_norm(vectors)
    expected = torch.tensor([5.0, 0.0, 1e-9, 2.5], dtype=torch.float64)
    torch.testing.assert_close(lengths, expected, rtol=1e-15, atol=0)
    (gradient,) = torch.autograd.grad(lengths.sum(), vectors, create_graph=True)
    directions = vectors / expected.clamp(min=1e-300).unsqueeze(1)
    torch.testing.assert_close(gradient, directions, rtol=1e-14, atol=0)
    (second,) = torch.autograd.grad(gradient[:2, 0].sum(), vectors)
    assert bool(torch.isfinite(second).all())
    away = vectors[[0, 3]].detach().requires_grad_()
    assert torch.autograd.gradcheck(safe_norm, away)
    assert torch.autograd.gradgradcheck(safe_norm, away)
