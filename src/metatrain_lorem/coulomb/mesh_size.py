"""How fine a mesh has to be, and what it costs."""

import math

import torch

from .cells import cell_volumes


ORDER = 10  # of the splines
BLOCK = 16  # points of a block along each axis


def mesh_shape(
    cell: torch.Tensor,
    num_atoms: int,
    smearing: float,
    accuracy: float,
    order: int = ORDER,
    block: int = BLOCK,
) -> list[int]:
    r"""Points of the mesh along each lattice vector, in whole blocks.

    The relative error of the forces, measured on random positions, is below

    .. math::

        5 \cdot 10^{-3} \, r (1 + r / 2) \, (h / \sigma)^{11}

    with the spacing :math:`h` of mesh points and :math:`r = d / \sigma` as in
    :mod:`.truncation` (``benchmarks/fit_accuracy.py``: by a factor of three); that of the
    potentials is smaller.

    :param cell: ``[3, 3]``
    :param accuracy: relative error, see :mod:`.truncation`
    """
    r = (float(cell_volumes(cell)) / num_atoms) ** (1 / 3) / smearing
    error = 5e-3 * r * (1 + 0.5 * r)
    spacing = smearing * (accuracy / error) ** (1 / (order + 1))
    lengths: list[float] = torch.linalg.vector_norm(cell, dim=1).tolist()
    blocks = [math.ceil(length / spacing / block) for length in lengths]
    return [block * fast_size(count) for count in blocks]


def num_points(shape: list[int], order: int = ORDER, block: int = BLOCK) -> int:
    """Points of all blocks with their margins: a measure of time and memory."""
    points = 1
    for size in shape:
        points *= size // block * (block + order - 1)
    return points


def fast_size(size: int) -> int:
    """Smallest number from ``size`` on without prime factors beyond 5."""
    rest = 0
    while rest != 1:
        rest = size
        for prime in [2, 3, 5]:
            while rest % prime == 0:
                rest = rest // prime
        size += 1
    return size - 1
