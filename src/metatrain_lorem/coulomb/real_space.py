"""Ewald sums beside the sum over k-vectors: short-ranged part, self-energy, background."""

import math
from typing import NamedTuple

import torch

from ..ops.rows import sum_rows, take_rows
from .open_systems import not_too_close


class Pairs(NamedTuple):
    """All directed pairs within the cutoff: ``G`` rows of up to ``W`` pairs of one atom.

    A plain list of pairs has ``W = 1``. An atom may have any number of rows. Pairs beyond
    the cutoff do nothing: with such distances, rows may be filled up.
    """

    centers: torch.Tensor  # [G] atom i
    neighbors: torch.Tensor  # [G, W] atom j
    distances: torch.Tensor  # [G, W] with periodic images


def within_cutoff(
    charges: torch.Tensor, pairs: Pairs, cutoff: float, smearing: float
) -> torch.Tensor:
    r"""Sums of :math:`q_j \, \mathrm{erfc}(r_{ij} / \sqrt2 \sigma) / r_{ij}`.

    :param charges: ``[N, C]``
    :return: ``[N, C]``
    """
    used = pairs.distances < cutoff
    distances = not_too_close(pairs.distances)
    kernel = torch.erfc(distances / (math.sqrt(2.0) * smearing)) / distances
    kernel = kernel * used
    num_atoms = charges.shape[0]
    if num_atoms * num_atoms <= 4 * kernel.numel():
        # Many pairs of few atoms: add up their kernels before charges come in.
        index = pairs.centers.unsqueeze(1) * num_atoms + pairs.neighbors
        matrix = sum_rows(kernel.flatten(), index.flatten(), num_atoms * num_atoms)
        return matrix.reshape(num_atoms, num_atoms) @ charges
    neighbor_charges = take_rows(charges, pairs.neighbors)  # [G, W, C]
    sums = torch.bmm(kernel.unsqueeze(1), neighbor_charges).squeeze(1)
    return sum_rows(sums, pairs.centers, num_atoms)


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
