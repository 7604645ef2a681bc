"""Powers of coordinates, whose derivatives are written down, against autograd's own."""

import torch
from helpers.tensors import random

from metatrain_lorem.network.powers import _powers, coordinate_powers


def directions() -> torch.Tensor:
    return random(3, 3, 4, seed=1).requires_grad_()


def test_gradients():
    for max_power in (1, 5):
        arguments = (directions(), max_power)
        assert torch.autograd.gradcheck(coordinate_powers, arguments)
        assert torch.autograd.gradgradcheck(coordinate_powers, arguments)


def test_equal_to_autograd():
    """Values, and gradients of a function of gradients, to rounding."""
    results = []
    for function in (coordinate_powers, _powers):
        inputs = directions()
        powers = function(inputs, 6)
        cubes = sum(part.pow(3).sum() for part in powers)
        (first,) = torch.autograd.grad(cubes, inputs, create_graph=True)
        results.append([*powers, first, *torch.autograd.grad(first.pow(2).sum(), inputs)])
    for own, expected in zip(*results, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-12, atol=1e-12)


def test_no_power():
    """Of degree zero, powers are constants."""
    inputs = directions()
    of_xy, of_z = coordinate_powers(inputs, 0)
    assert of_xy[0, :, 0, 0].tolist() == [1.0, 0.0]
    assert of_z.shape == (3, 1, 4)
    (gradient,) = torch.autograd.grad(of_xy.sum() + of_z.sum(), inputs)
    assert not bool(gradient.any())
