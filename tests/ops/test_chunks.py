"""Chunks of arrays: all rows, each once, and none larger than it may be."""

import math

import pytest
import torch

from metatrain_lorem.ops.chunks import chunk_size, cut, join


@pytest.mark.parametrize("num_rows", [0, 1, 7, 100])
@pytest.mark.parametrize("budget", [1, 10, 64, 10**9])
def test_chunks_are_within_the_budget(num_rows, budget):
    """Up to a part of a row; they give back the whole."""
    width, values = 4, torch.arange(3.0 * num_rows).reshape(num_rows, 3)
    size = chunk_size(values, width, budget)
    chunks = cut(values, size)
    assert torch.equal(join(chunks), values)
    assert 1 <= size <= max(math.ceil(budget / width), 1)
    sizes = [len(chunk) for chunk in chunks]
    assert max(sizes) <= size
    fewest = max(math.ceil(num_rows * width / budget), 1)
    assert len(chunks) <= fewest
    assert (len(chunks) == 1) == (min(fewest, num_rows) <= 1)


def test_a_single_chunk_is_not_copied():
    values = torch.ones(3, 2)
    assert join(cut(values, 3)) is values


def test_gradient_is_that_of_the_whole():
    values = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(join(cut(values, 3)).pow(2).sum(), values)
    torch.testing.assert_close(gradient, 2 * values.detach(), rtol=0, atol=0)
