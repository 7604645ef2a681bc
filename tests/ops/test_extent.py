"""Atoms far away along open directions are named."""

import pytest
import torch

from metatrain_lorem.ops.extent import check_extent


CELL = torch.diag(torch.tensor([4.0, 5.0, 6.0], dtype=torch.float64))


def positions(atom, axis, value):
    x = torch.arange(12, dtype=torch.float64).reshape(4, 3)
    x[atom, axis] = value
    return x


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("value", [-2e4, 2e4])
def test_open(axis, value):
    x, pbc = positions(2, axis, value), torch.tensor([False] * 3)
    with pytest.raises(ValueError, match=r"atom 2 .from 0. is 2e.04 away .* .allowed: 1e"):
        check_extent(x, CELL, pbc, 1e4)
    check_extent(x, CELL, pbc, 3e4)
    check_extent(x + 1e9, CELL, pbc, 3e4)  # wherever the origin is


def test_periodic():
    """Only what is left when images are chosen freely."""
    pbc = torch.tensor([True, True, False])
    check_extent(positions(2, 0, 2e4), CELL, pbc, 1e4)
    check_extent(positions(2, 2, 2e4), CELL, torch.tensor([True] * 3), 1e4)
    with pytest.raises(ValueError, match="atom 1"):
        check_extent(positions(1, 2, 2e4), CELL, pbc, 1e4)
    check_extent(torch.zeros(0, 3), CELL, pbc, 1e4)
