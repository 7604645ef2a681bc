"""Layer normalization and its derivatives against torch's own."""

import pytest
import torch
from helpers.tensors import random

from metatrain_lorem.network.layer_norm import LayerNorm


def make_inputs(seed: int) -> list[torch.Tensor]:
    """Features, weight and bias."""
    shapes = [(5, 7), (7,), (7,)]
    return [random(*s, seed=seed + i).requires_grad_() for i, s in enumerate(shapes)]


def ours(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    module = LayerNorm(7, eps=1e-6).double()
    parameters = {"weight": weight, "bias": bias}
    return torch.func.functional_call(module, parameters, (x,))


def torchs(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.layer_norm(x, [7], weight, bias, 1e-6)


def test_gradients():
    assert torch.autograd.gradcheck(ours, make_inputs(0))
    assert torch.autograd.gradgradcheck(ours, make_inputs(0))


@pytest.mark.parametrize("differentiated", [[0], [1, 2], [0, 1, 2]])
def test_equal_to_torch(differentiated):
    """Values, and gradients of a function of gradients, to rounding."""
    results = []
    for function in (ours, torchs):
        inputs = make_inputs(3)
        values = function(*inputs)
        chosen = [inputs[i] for i in differentiated]
        first = torch.autograd.grad(values.pow(3).sum(), chosen, create_graph=True)
        loss = sum(gradient.pow(2).sum() for gradient in first) + values.sum()
        results.append([values, *first, *torch.autograd.grad(loss, inputs)])
    for own, expected in zip(*results, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-12, atol=1e-12)


def test_no_atoms_and_script():
    module = LayerNorm(7, eps=1e-6)
    features = torch.zeros(0, 7, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(features).sum(), features, create_graph=True)
    gradient.sum().backward()
    assert features.grad.shape == (0, 7)
    features = random(5, 7).float()
    torch.testing.assert_close(torch.jit.script(module)(features), module(features))
