"""Layers: their initial weights and what they compute."""

import pytest
import torch

from metatrain_lorem.network.layers import linear, mlp, truncated_normal_


@pytest.mark.parametrize("variance", [1.0, 0.01])
def test_truncated_normal(variance):
    """Of the wanted variance, and nothing beyond two widths of the uncut normal."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weight = truncated_normal_(torch.empty(200_000), variance)
    assert float(weight.var()) == pytest.approx(variance, rel=0.01)
    assert float(weight.mean()) == pytest.approx(0.0, abs=0.01 * variance**0.5)
    # A unit normal cut at two has the standard deviation 0.8796
    largest = 2 / 0.8796 * variance**0.5
    assert 0.99 * largest < float(weight.abs().max()) < 1.001 * largest


def test_linear():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer, without = linear(400, 300), linear(400, 300, bias=False)
    assert float(layer.weight.detach().var()) == pytest.approx(1 / 400, rel=0.02)
    assert not bool(layer.bias.any())
    assert without.bias is None


def test_mlp():
    """SiLU between the layers, none at the end."""
    layers = mlp([3, 5, 4, 2])
    x = torch.randn(6, 3)
    expected = x
    for i, layer in enumerate([layers[0], layers[2], layers[4]]):
        expected = expected @ layer.weight.T + layer.bias
        if i < 2:
            expected = expected * torch.sigmoid(expected)
    torch.testing.assert_close(layers(x), expected)
    assert len(layers) == 5
