"""Systems of unequal size, as a few rectangular arrays."""

from typing import NamedTuple

import torch


class SystemGroup(NamedTuple):
    """``B`` similar systems, padded to ``N`` atoms and summed as one batch."""

    method: str  # "open", "ewald" or "mesh"
    systems: torch.Tensor  # [B]
    atoms: torch.Tensor  # [B, N]
    real: torch.Tensor  # [B, N, 1] False for padding
    size: list[int]  # largest index of k-vectors, or points of the mesh, along each axis
    planes: torch.Tensor  # [p, 2] and
    bounds: torch.Tensor  # [B, 7], see `ReciprocalSum.select`


class CoulombPlan(NamedTuple):
    """How to sum the systems of a batch."""

    num_periodic: list[int]  # periodic directions of each system
    groups: list[SystemGroup]
    order: torch.Tensor  # [N] place of each atom among the padded ones of all groups


def group_systems(
    counts: list[int], sizes: list[list[int]], methods: list[str]
) -> list[list[int]]:
    """Group systems so that padding at most doubles the work.

    :param counts: atoms of each system; those without atoms are left out
    :param sizes: largest k-vector index of each system along each axis
    :param methods: how each system is summed: ``open``, ``ewald`` or ``mesh``
    :return: lists of system indices; systems of one list agree in their method, and
        those on a mesh are alone
    """
    if len(counts) == 1:
        return [[0]]
    costs: list[int] = []
    for count, size, method in zip(counts, sizes, methods):
        costs.append(count * (count if method == "open" else box_volume(size)))
    order: list[int] = torch.argsort(torch.tensor(costs)).tolist()
    groups: list[list[int]] = []
    for wanted in ["open", "ewald", "mesh"]:
        group: list[int] = []
        cost, count, size = 0, 0, [0, 0, 0]
        for system in order:
            if methods[system] != wanted or counts[system] == 0:
                continue
            new_size = [max([a, b]) for a, b in zip(size, sizes[system])]
            new_count = max([count, counts[system]])
            factor = new_count if wanted == "open" else box_volume(new_size)
            padded = (len(group) + 1) * new_count * factor
            full = padded > 2 * (cost + costs[system]) or wanted == "mesh"
            if full and len(group) > 0:
                groups.append(group)
                group, cost = [], 0
                new_size, new_count = sizes[system], counts[system]
            group.append(system)
            cost, count, size = cost + costs[system], new_count, new_size
        if len(group) > 0:
            groups.append(group)
    return groups


def box_volume(size: list[int]) -> int:
    """Number of k-vectors up to the largest indices ``size``, in a half space."""
    return (size[0] + 1) * (2 * size[1] + 1) * (2 * size[2] + 1)


def padded_atoms(starts: list[int], counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Atoms of several systems as a rectangle, ``[B, N]`` indices and ``[B, N]`` mask.

    :param starts: first atom of each system
    :param counts: number of atoms of each system
    """
    slots = torch.arange(max(counts))
    real = slots < torch.tensor(counts).unsqueeze(1)
    atoms = torch.tensor(starts).unsqueeze(1) + slots
    return torch.where(real, atoms, atoms[:, :1]), real
