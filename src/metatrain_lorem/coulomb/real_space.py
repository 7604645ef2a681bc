"""Ewald sums beside the sum over k-vectors: short-ranged part, self-energy, background."""

import math
from typing import NamedTuple

import torch

from ..ops.rows import sum_rows, take_rows


class Pairs(NamedTuple):
    """All directed pairs within the cutoff: ``G`` rows of up to ``W`` pairs of one atom.

    A plain list of pairs has ``W = 1``. An atom may have any number of rows. Pairs beyond
    the cutoff do nothing: with such distances, rows may be filled up.
    """

    centers: torch.Tensor  # [G] atom i
    neighbors: torch.Tensor  # [G, W] atom j
    distances: torch.Tensor  # [G, W] with periodic images


def sum_pairs(charges: torch.Tensor, pairs: Pairs, kernel: torch.Tensor) -> torch.Tensor:
    """Sums of charges times a kernel over all pairs of an atom.

    :param charges: ``[N, C]``
    :param kernel: of each pair, ``[G, W]``
    :return: ``[N, C]``
    """
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
    charges: torch.Tensor,
    systems: torch.Tensor,
    volumes: torch.Tensor,
    smearing: float,
    self_potential: float,
) -> torch.Tensor:
    """Take out the smeared charge itself, and the mean of the kernel of pairs.

    :param charges: ``[N, C]``
    :param systems: index of the system of each atom, ``[N]``
    :param volumes: ``[S]``
    :param smearing: see :class:`.Split`
    :param self_potential: see :class:`.Split`
    :return: ``[N, C]``
    """
    totals = sum_rows(charges, systems, volumes.shape[0])
    background = 2 * math.pi * smearing**2 * totals / volumes.unsqueeze(1)
    return -self_potential * charges - take_rows(background, systems)
