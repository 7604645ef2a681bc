"""Coulomb potentials of one system, which finds its neighbors itself."""

import torch

from ..ops.budget import MEMORY
from ..ops.safe_norm import safe_norm
from .checks import (
    check_accuracy,
    check_kind,
    check_like,
    check_positive,
    check_shape,
    check_system,
)
from .feasible import check_pairs
from .neighbors import neighbor_list
from .periodicity import checked_lattices
from .real_space import Pairs
from .slab import slab_gap
from .solver import CoulombSolver


def coulomb_potentials(
    positions: torch.Tensor,
    charges: torch.Tensor,
    cell: torch.Tensor,
    pbc: torch.Tensor,
    *,
    cutoff: float,
    smearing: float | None = None,
    accuracy: float = 1e-6,
    memory: int = MEMORY,
    method: str = "auto",
) -> torch.Tensor:
    r"""Coulomb potentials of one system, which may be open, a slab or a crystal.

    Finds its neighbors itself, by ``vesin``. Differentiable twice in positions, charges
    and cell. See :class:`.CoulombSolver` for formulas.

    :param positions: ``[N, 3]``
    :param charges: ``[N, C]``; each column is a problem of its own
    :param cell: lattice vectors as rows, ``[3, 3]``; rows of open directions are ignored
    :param pbc: periodic directions, ``[3]`` booleans
    :param cutoff: radius of the real-space sum, in the unit of ``positions``
    :param smearing: width of Gaussian charges, by default none, see
        :class:`.CoulombSolver`
    :param accuracy: as defined in :mod:`.truncation`; of the whole sum if ``smearing`` is
        not given, otherwise of the reciprocal part
    :param memory: bytes that the working arrays of one step may take
    :param method: ``ewald``, ``mesh`` or ``auto``, see :class:`.CoulombSolver`
    :return: potentials with the factor 1/2, ``[N, C]``; the energy is ``(q * v).sum()``
    :raises ValueError: for periodicity in one direction or a cell without volume, and for
        arguments of a wrong shape or type, naming them
    """
    _check(positions, charges, cell, pbc)
    check_positive("cutoff", cutoff)
    check_accuracy(accuracy)
    num_atoms = positions.shape[0]
    if num_atoms == 0:
        return charges
    systems = torch.zeros(num_atoms, dtype=torch.int64, device=positions.device)
    cells, periodic = cell.unsqueeze(0), pbc.unsqueeze(0)
    lattices = checked_lattices(positions, cells, periodic, systems, slab_gap(accuracy))
    if lattices.num_periodic[0] > 0:
        check_pairs(num_atoms, lattices.volumes[0], cutoff)
    solver = CoulombSolver(cutoff, smearing, accuracy, memory, method)
    plan = solver.planner(lattices, periodic, systems, charges.shape[1])
    pairs = find_pairs(positions, cell, pbc, cutoff)
    return solver.to(positions.device).evaluate(positions, charges, cells, pairs, plan)


def find_pairs(
    positions: torch.Tensor, cell: torch.Tensor, pbc: torch.Tensor, cutoff: float
) -> Pairs:
    """Pairs of one system, whose distances have gradients."""
    i, j, shifts = neighbor_list(positions, cell, pbc, cutoff)
    vectors = positions.index_select(0, j) - positions.index_select(0, i)
    distances = safe_norm(vectors + shifts.to(cell.dtype) @ cell)
    return Pairs(i, j.unsqueeze(1), distances.unsqueeze(1))


def _check(
    positions: torch.Tensor, charges: torch.Tensor, cell: torch.Tensor, pbc: torch.Tensor
) -> None:
    """Shapes and types, and numbers that are none."""
    tensors = {"positions": positions, "charges": charges, "cell": cell, "pbc": pbc}
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"`{name}` must be a tensor, got {type(tensor).__name__}")
    check_system(positions, charges)
    check_shape("cell", cell, [3, 3])
    check_like("cell", cell, positions)
    check_shape("pbc", pbc, [3])
    check_kind("pbc", pbc, torch.bool, positions)
    for name, values in [("positions", positions), ("charges", charges), ("cell", cell)]:
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"`{name}` must be finite")
