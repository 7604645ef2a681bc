"""What a Coulomb sum will cost and how exact it will be, before it is run."""

import math
from typing import NamedTuple

import torch

from .cells import cell_volumes
from .periodicity import checked_cells
from .solver import CoulombPotential
from .truncation import real_space_error, reciprocal_error


class Estimate(NamedTuple):
    """Method, cost and relative errors (:mod:`.truncation`) for one structure."""

    num_atoms: int
    method: str  # "open", "ewald" or "mesh"
    num_k: int  # k-vectors of the half space, or 0
    mesh: list[int]  # points along each lattice vector, or none
    real_space_error: float  # of the sum up to the cutoff
    reciprocal_error: float  # of the sum over k-vectors or on the mesh
    memory: int  # bytes of arrays that are kept for the forces


def estimate(
    solver: CoulombPotential,
    positions: torch.Tensor,
    cell: torch.Tensor,
    pbc: torch.Tensor,
    num_columns: int = 1,
) -> Estimate:
    """Estimate one sum.

    :param solver: the solver, also from a TorchScript model
    :param positions: ``[N, 3]``
    :param cell: ``[3, 3]``
    :param pbc: ``[3]`` booleans
    :param num_columns: columns of charges
    :raises ValueError: see :class:`.CoulombPotential`
    """
    num_atoms = positions.shape[0]
    systems = torch.zeros(num_atoms, dtype=torch.int64)
    cells, num_periodic = checked_cells(
        positions, cell[None], pbc[None], systems, solver.slab_gap
    )
    size = positions.element_size()
    # TorchScript cannot compute arrays again in the backward pass.
    limit = math.inf if isinstance(solver, torch.jit.ScriptModule) else solver.memory
    if not bool(pbc.any()):
        kept = round(min(num_atoms**2 * size, limit))
        return Estimate(num_atoms, "open", 0, [], 0.0, 0.0, kept)

    volume = float(cell_volumes(cells))
    radius = solver.reciprocal.radius(volume, num_atoms)
    sizes = solver.reciprocal.box_sizes(cells, [radius])
    method = solver.methods(cells, [num_atoms], sizes, num_periodic, num_columns)[0]
    spacing = (volume / num_atoms) ** (1 / 3)
    real_error = real_space_error(solver.cutoff / solver.smearing, spacing / solver.cutoff)
    error = solver.reciprocal.accuracy
    num_k, mesh = 0, []
    if method == "mesh":
        mesh = solver.mesh.shape(cells[0], num_atoms)
        kept = mesh_numbers(solver, mesh, num_atoms, num_columns)
    else:
        num_k = round(volume * radius**3 / (12 * math.pi**2))
        kept = ewald_numbers(sizes[0], num_atoms, num_columns)
        wavelength = solver.reciprocal.reference_wavelength
        if wavelength > 0:
            num_k = 4 * math.prod(sizes[0])
            x = solver.smearing * math.pi / wavelength
            error = reciprocal_error(x, spacing / solver.smearing)
    num_neighbors = 4 / 3 * math.pi * solver.cutoff**3 * num_atoms / volume
    pairs = num_atoms * num_neighbors * (num_columns + 4)
    memory = round(min(size * kept, limit) + size * pairs)
    return Estimate(num_atoms, method, num_k, mesh, real_error, error, memory)


def ewald_numbers(box_size: list[int], num_atoms: int, num_columns: int) -> float:
    """Numbers that an Ewald sum keeps for its derivatives.

    :param box_size: largest index of the k-vectors along each axis
    """
    planes = math.pi / 2 * box_size[0] * (2 * box_size[1] + 1) + 1
    waves = 2 * (box_size[2] + 1) * num_columns
    return planes * (3 * num_atoms + 6 * waves) + 3 * num_atoms * waves


def mesh_numbers(
    solver: CoulombPotential, shape: list[int], num_atoms: int, num_columns: int
) -> float:
    """Numbers that a sum on a mesh of some shape keeps for its derivatives."""
    width = solver.mesh.block + solver.mesh.order - 1
    atoms = 1.5 * num_atoms * (width**2 + 3 * width * num_columns)
    return 1.3 * solver.mesh.num_points(shape) * num_columns + atoms
