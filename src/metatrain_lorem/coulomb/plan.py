"""All that can be decided about a batch before its sums: one record for each method.

Plans hold numbers, indices and shapes, without gradients. Positions matter for the extent
of slabs only: as long as that does not change much, a plan may be used again.
"""

from typing import NamedTuple, Optional

import torch

from .kvectors import KVectors
from .periodicity import Lattices


class Batch(NamedTuple):
    """``B`` similar systems, padded to ``N`` atoms and summed together."""

    systems: torch.Tensor  # [B]
    atoms: torch.Tensor  # [B, N] indices; for padding, the first atom of the system
    real: torch.Tensor  # [B, N, 1] False for padding
    is_all: bool  # all atoms in their order, without padding


class EwaldGroup(NamedTuple):
    """Periodic systems, by k-vectors."""

    batch: Batch
    kvectors: KVectors  # in the units of length
    units: Optional[torch.Tensor]  # [B, 1, 1] of sparse systems, see `sparse`


class MeshGroup(NamedTuple):
    """One periodic system, on a mesh."""

    batch: Batch
    shape: list[int]  # points along each lattice vector
    units: Optional[torch.Tensor]  # as of an Ewald sum, [1, 1, 1]


class CoulombPlan(NamedTuple):
    """How to sum ``S`` systems of ``N`` atoms."""

    lattices: Lattices
    pbc: torch.Tensor  # [S, 3] bool
    systems: torch.Tensor  # [N]
    open: list[Batch]  # all pairs
    ewald: list[EwaldGroup]
    mesh: list[MeshGroup]
    # [N] place of each atom among those of all groups, with padding; none if in order
    order: Optional[torch.Tensor]
    dense: torch.Tensor  # [S] bool: systems that need the pairs within the cutoff
    num_dense: int


def similar_systems(systems: list[int], factors: list[list[int]]) -> list[list[int]]:
    """Group systems so that padding at most doubles the work.

    The work of a system is the product of its factors. That of a group is the product of
    the largest ones among its systems, times their number.

    :param systems: indices of the systems
    :param factors: of each of them, equally many
    :return: lists of system indices
    """
    if len(systems) < 2:
        return [[system] for system in systems]
    works = [_product(of_system) for of_system in factors]
    order: list[int] = torch.argsort(torch.tensor(works)).tolist()
    groups: list[list[int]] = []
    group: list[int] = []
    work = 0
    largest: list[int] = []
    for i in order:
        together = factors[i]
        if len(group) > 0:
            together = [max([a, b]) for a, b in zip(largest, factors[i])]
            if (len(group) + 1) * _product(together) > 2 * (work + works[i]):
                groups.append(group)
                group, work, together = [], 0, factors[i]
        group.append(systems[i])
        work, largest = work + works[i], together
    if len(group) > 0:
        groups.append(group)
    return groups


def padded_batch(systems: list[int], num_atoms: list[int], device: torch.device) -> Batch:
    """Atoms of several systems as a rectangle.

    :param num_atoms: of each system of the plan
    """
    counts = [num_atoms[system] for system in systems]
    is_all = systems == list(range(len(num_atoms))) and min(counts) == max(counts)
    starts = [sum(num_atoms[:system]) for system in systems]
    slots = torch.arange(max(counts))
    atoms = torch.tensor(starts).unsqueeze(1) + slots
    real = torch.tensor([[True]]).expand(atoms.shape)
    if not is_all:
        real = slots < torch.tensor(counts).unsqueeze(1)
        atoms = torch.where(real, atoms, atoms[:, :1])
    index = torch.tensor(systems).to(device)
    return Batch(index, atoms.to(device), real.unsqueeze(2).to(device), is_all)


def places(
    batches: list[Batch], num_atoms: int, device: torch.device
) -> Optional[torch.Tensor]:
    """``order`` of a :class:`CoulombPlan`, from its groups in the order of their sums."""
    if len(batches) == 1 and batches[0].is_all:
        return None
    order = torch.empty(num_atoms, dtype=torch.int64, device=device)
    if num_atoms > 0:
        atoms = torch.cat([batch.atoms.flatten() for batch in batches])
        real = torch.cat([batch.real.flatten() for batch in batches])
        slots = torch.arange(atoms.shape[0], device=device)
        order = torch.cat([order, order[:1]])
        # All padding writes to one place more.
        order = order.index_copy(0, torch.where(real, atoms, num_atoms), slots)
    return order[:num_atoms]


def _product(factors: list[int]) -> int:
    product = 1
    for factor in factors:
        product *= factor
    return product
