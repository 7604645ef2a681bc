"""Atoms far away along open directions are named."""

import pytest
import torch

from metatrain_lorem.coulomb.neighbors import neighbor_list
from metatrain_lorem.ops.extent import check_extent, check_search


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


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (0, 2)])
def test_search_in_open_space(axes):
    """An atom that left along two axes, at which the neighbor list would crash."""
    x, pbc = torch.rand(4, 3, dtype=torch.float64), torch.tensor([False] * 3)
    check_search(x, CELL, pbc, 5.0)
    x[2, axes[0]] = 9e4
    check_search(x, CELL, pbc, 5.0)  # along one axis, it does not
    x[2, axes[1]] = 6e3
    with pytest.raises(ValueError, match=r"over 9e\+04 x 6e\+03 x .*has an atom left"):
        check_search(x, CELL, pbc, 5.0)
    x[2] = 9e4  # nor along three
    check_search(x, CELL, pbc, 5.0)
    neighbor_list(x, CELL, pbc, 5.0)


def test_search_in_cells():
    x = torch.rand(4, 3, dtype=torch.float64)
    sheet = torch.diag(torch.tensor([5.0, 4000.0, 4000.0], dtype=torch.float64))
    for pbc in ([True, True, True], [False, True, True]):
        with pytest.raises(ValueError, match="too wide and too thin"):
            check_search(x, sheet, torch.tensor(pbc), 5.0)
    check_search(x, 0.1 * sheet, torch.tensor([True] * 3), 5.0)
    check_search(x, 1000 * torch.eye(3).double(), torch.tensor([True] * 3), 5.0)


@pytest.mark.parametrize("seed", range(40))
def test_search_does_not_crash(seed):
    """Whatever passes has a neighbor list: the process would be gone else."""
    generator = torch.Generator().manual_seed(seed)
    sizes = 10 ** (0.5 + 4.4 * torch.rand(3, generator=generator, dtype=torch.float64))
    x = sizes * torch.rand(6, 3, generator=generator, dtype=torch.float64)
    pbc = torch.tensor([[False] * 3, [True] * 3, [True, True, False]][seed % 3])
    cell = torch.diag(sizes + 2.0)
    try:
        check_search(x, cell, pbc, 5.0)
    except ValueError:
        return
    neighbor_list(x, cell, pbc, 5.0)
