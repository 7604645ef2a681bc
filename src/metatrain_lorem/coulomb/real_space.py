"""Ewald sums beside the sum over k-vectors: short-ranged part, self-energy, background."""

import math

import torch

from ..graph import Neighborhoods
from ..ops.rows import sum_rows, take_rows
from .open_systems import not_too_close


def within_cutoff(
    charges: torch.Tensor,
    rows: Neighborhoods,
    distances: torch.Tensor,
    is_periodic: torch.Tensor,
    cutoff: float,
    smearing: float,
) -> torch.Tensor:
    r"""Sums of :math:`q_j \, \mathrm{erfc}(r_{ij} / \sqrt2 \sigma) / r_{ij}`.

    :param charges: ``[N, C]``
    :param rows: neighborhoods of the atoms
    :param distances: lengths of the pair vectors, ``[G, W]``
    :param is_periodic: atoms of periodic systems ``[N]``; all others get zero
    :return: ``[N, C]``
    """
    used = rows.mask & (distances < cutoff)
    used = used & is_periodic[rows.centers].unsqueeze(1)
    distances = not_too_close(distances)
    kernel = torch.erfc(distances / (math.sqrt(2.0) * smearing)) / distances
    kernel = kernel * used
    num_atoms = charges.shape[0]
    if num_atoms * num_atoms <= 4 * kernel.numel():
        # Many pairs of few atoms: add up their kernels before charges come in.
        pairs = rows.centers.unsqueeze(1) * num_atoms + rows.neighbors
        matrix = sum_rows(kernel.flatten(), pairs.flatten(), num_atoms * num_atoms)
        return matrix.reshape(num_atoms, num_atoms) @ charges
    neighbor_charges = take_rows(charges, rows.neighbors)  # [G, W, C]
    sums = torch.bmm(kernel.unsqueeze(1), neighbor_charges).squeeze(1)
    return sum_rows(sums, rows.centers, num_atoms)


def self_and_background(
    charges: torch.Tensor, systems: torch.Tensor, volumes: torch.Tensor, smearing: float
) -> torch.Tensor:
    """Take out the smeared charge itself, and the mean of the smeared part.

    :param charges: ``[N, C]``
    :param systems: index of the system of each atom, ``[N]``
    :param volumes: ``[S]``
    :return: ``[N, C]``
    """
    totals = sum_rows(charges, systems, volumes.shape[0])
    background = 2 * math.pi * smearing**2 * totals / volumes.unsqueeze(1)
    return -math.sqrt(2 / math.pi) / smearing * charges - take_rows(background, systems)
