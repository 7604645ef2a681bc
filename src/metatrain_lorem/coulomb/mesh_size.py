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
    error: float,
    block: int = BLOCK,
) -> list[int]:
    """Points of the mesh along each lattice vector, in whole blocks.

    :param cell: ``[3, 3]``
    :param error: and others: see :func:`mesh_spacing`
    """
    distance = (float(cell_volumes(cell)) / num_atoms) ** (1 / 3)
    spacing = mesh_spacing(distance, smearing, accuracy, error)
    lengths: list[float] = torch.linalg.vector_norm(cell, dim=1).tolist()
    blocks = [math.ceil(length / spacing / block) for length in lengths]
    return [block * fast_size(count) for count in blocks]


def mesh_spacing(
    distance: float, smearing: float, accuracy: float, error: float, order: int = ORDER
) -> float:
    r"""Largest distance between points of a mesh that has the wanted accuracy.

    The relative error of the forces, measured on random positions, is below

    .. math::

        a \, r (1 + r / 2) \, (h / \sigma)^{11}

    with the spacing :math:`h` of mesh points and :math:`r = d / \sigma` as in
    :mod:`.truncation`; that of the potentials is smaller.

    :param distance: between atoms, :math:`d`
    :param smearing: :math:`\sigma`, see :class:`.Split`
    :param accuracy: relative error, see :mod:`.truncation`
    :param error: the factor :math:`a`
    """
    r = distance / smearing
    return smearing * (accuracy / (error * r * (1 + 0.5 * r))) ** (1 / (order + 1))


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
