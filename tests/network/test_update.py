"""The residual update of scalar features against its formula."""

import torch

from metatrain_lorem.network.update import Update


def layer_norm(x: torch.Tensor, norm: torch.nn.LayerNorm) -> torch.Tensor:
    centered = x - x.mean(1, keepdim=True)
    variance = (centered**2).mean(1, keepdim=True)
    return centered / torch.sqrt(variance + 1e-6) * norm.weight + norm.bias


def make_update() -> Update:
    update = Update(6, 4).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in update.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return update


def test_formula():
    """With features so small that the epsilon of the normalization matters."""
    update = make_update()
    for layers in (update.mix, update.transform):
        layers[2].weight.data *= 1e-3
        layers[2].bias.data *= 1e-3
    generator = torch.Generator().manual_seed(1)
    h = 1e-3 * torch.randn(5, 6, dtype=torch.float64, generator=generator)
    u = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    expected = layer_norm(h + update.mix(u), update.mix_norm)
    expected = layer_norm(expected + update.transform(expected), update.transform_norm)
    torch.testing.assert_close(update(h, u), expected, rtol=1e-13, atol=1e-13)


def test_constant_features():
    """Without variance the result is finite, and so are both derivatives."""
    update = make_update()
    h = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)
    u = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(update(h, u).pow(2).sum(), h, create_graph=True)
    (second,) = torch.autograd.grad(gradient.pow(2).sum(), u)
    assert bool(torch.isfinite(gradient).all())
    assert bool(torch.isfinite(second).all())
