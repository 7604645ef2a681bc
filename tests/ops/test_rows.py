"""Gathers and sums by index, against loops."""

import pytest
import torch
from helpers.tensors import random

from metatrain_lorem.ops.rows import count_rows, mean_rows, sum_rows, take_rows


INDEX = torch.tensor([2, 0, 2, 2, 4])  # 1 and 3 do not occur
NUM_SUMS = 5


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_sums_and_means(shape):
    values = random(len(INDEX), *shape)
    sums, means = sum_rows(values, INDEX, NUM_SUMS), mean_rows(values, INDEX, NUM_SUMS)
    assert sums.shape == means.shape == (NUM_SUMS, *shape)
    for i in range(NUM_SUMS):
        rows = values[i == INDEX]
        torch.testing.assert_close(sums[i], rows.sum(0), rtol=1e-15, atol=1e-15)
        expected = rows.mean(0) if len(rows) > 0 else torch.zeros_like(sums[i])
        torch.testing.assert_close(means[i], expected, rtol=1e-15, atol=1e-15)


def test_counts():
    assert count_rows(INDEX, NUM_SUMS).tolist() == [1, 0, 3, 0, 1]
    assert count_rows(INDEX[:0], 2).tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(5,), (2, 3), (0,)])
def test_rows_of_an_index_of_any_shape(shape):
    values = random(5, 4).requires_grad_()
    index = torch.arange(5).flip(0).repeat(2)[: int(torch.tensor(shape).prod())]
    index = index.reshape(shape)
    assert torch.equal(take_rows(values, index), values[index])


def test_gradients():
    values = random(5, 2).requires_grad_()
    functions = [
        lambda x: take_rows(x, INDEX.reshape(1, 5)),
        lambda x: sum_rows(x, INDEX, NUM_SUMS),
        lambda x: mean_rows(x, INDEX, NUM_SUMS),
    ]
    for function in functions:
        assert torch.autograd.gradcheck(function, values)
