"""What a Coulomb sum will cost and how exact it will be, before it is run."""

import math
from typing import NamedTuple

import torch

from .feasible import numbers_kept
from .mesh_size import BLOCK, ORDER, num_points
from .periodicity import Lattices, checked_lattices
from .plan import CoulombPlan, EwaldGroup, MeshGroup
from .solver import CoulombSolver
from .sparse import PAIR_NUMBERS


class Estimate(NamedTuple):
    """Method, cost and relative errors (:mod:`.truncation`) for one structure."""

    num_atoms: int
    method: str  # "open", "ewald" or "mesh"
    num_k: int  # k-vectors of the half space, or 0
    mesh: list[int]  # points along each lattice vector, or none
    reach: float  # of the sum over pairs; beyond the cutoff, over all pairs of the system
    real_space_error: float  # of the sum up to the cutoff
    reciprocal_error: float  # of the sum over k-vectors or on the mesh
    memory: int  # bytes of arrays that are kept for the forces


def plan_of_one(
    solver: CoulombSolver,
    positions: torch.Tensor,
    cell: torch.Tensor,
    pbc: torch.Tensor,
    num_columns: int,
) -> CoulombPlan:
    """The plan of a single system.

    :param solver: the solver, also from a TorchScript model
    :raises ValueError: see :meth:`.CoulombSolver.forward`; also where TorchScript would
        raise an error of its own
    """
    systems = torch.zeros(positions.shape[0], dtype=torch.int64)
    lattices = _lattices_of_one(solver, positions, cell, pbc)
    return solver.planner(lattices, pbc.unsqueeze(0), systems, num_columns)


def check_one(
    solver: CoulombSolver,
    positions: torch.Tensor,
    cell: torch.Tensor,
    pbc: torch.Tensor,
    num_columns: int,
) -> None:
    """Whether a single system can be summed, without a plan of its k-vectors.

    :param num_columns: columns of charges
    :raises ValueError: see :func:`plan_of_one`, and :mod:`.feasible`
    """
    lattices = _lattices_of_one(solver, positions, cell, pbc)
    solver.planner.decide(lattices, num_columns)


def _lattices_of_one(
    solver: CoulombSolver, positions: torch.Tensor, cell: torch.Tensor, pbc: torch.Tensor
) -> Lattices:
    systems = torch.zeros(positions.shape[0], dtype=torch.int64)
    cells, periodic = cell.unsqueeze(0), pbc.unsqueeze(0)
    return checked_lattices(positions, cells, periodic, systems, solver.vacuum)


def estimate(
    solver: CoulombSolver, plan: CoulombPlan, num_columns: int, element_size: int
) -> Estimate:
    """Estimate a sum that is planned.

    :param solver: the solver, also from a TorchScript model
    :param plan: of a single system
    :param num_columns: columns of charges
    :param element_size: bytes of a number
    """
    (num_atoms,), (volume,) = plan.lattices.num_atoms, plan.lattices.volumes
    # TorchScript cannot compute arrays again in the backward pass.
    limit = math.inf if isinstance(solver, torch.jit.ScriptModule) else solver.memory
    if len(plan.open) > 0:
        memory = round(min(num_atoms**2 * element_size, limit))
        return Estimate(num_atoms, "open", 0, [], math.inf, 0.0, 0.0, memory)

    spacing = (volume / num_atoms) ** (1 / 3)
    real_error = solver.split.real_space_error(spacing)
    if len(plan.mesh) > 0:
        method, num_k, shape = "mesh", 0, plan.mesh[0].shape
        error, units = solver.split.accuracy, plan.mesh[0].units
        kept = mesh_numbers(plan.mesh[0], num_columns)
    else:
        kvectors, units = plan.ewald[0].kvectors, plan.ewald[0].units
        lengths = (kvectors.last - kvectors.first + 1).clamp(min=0)
        method, num_k, shape = "ewald", int(lengths.sum()), []
        error = solver.planner.kvectors.error(spacing)
        kept = ewald_numbers(plan.ewald[0], num_columns)
    if units is None:
        reach = solver.cutoff
        num_neighbors = 4 / 3 * math.pi * solver.cutoff**3 * num_atoms / volume
        pairs = num_atoms * num_neighbors * (num_columns + 4)
    else:
        reach = solver.cutoff * float(units)
        kept, pairs = kept + PAIR_NUMBERS * num_atoms**2, 0.0
    memory = round(min(element_size * kept, limit) + element_size * pairs)
    return Estimate(num_atoms, method, num_k, shape, reach, real_error, error, memory)


def ewald_numbers(group: EwaldGroup, num_columns: int) -> float:
    """Numbers that an Ewald sum keeps for its derivatives."""
    num_atoms, num_planes = group.batch.atoms.numel(), group.kvectors.planes.shape[0]
    return numbers_kept(num_atoms, num_planes, group.kvectors.highest, num_columns)


def mesh_numbers(group: MeshGroup, num_columns: int) -> float:
    """Numbers that a sum on a mesh keeps for its derivatives."""
    width = BLOCK + ORDER - 1
    atoms = 1.5 * group.batch.atoms.numel() * (width**2 + 3 * width * num_columns)
    return 1.3 * num_points(group.shape) * num_columns + atoms
