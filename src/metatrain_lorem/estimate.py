"""What a Coulomb sum will cost and how exact it will be, before it is run."""

import math
from typing import NamedTuple

import torch

from .coulomb_potential import CoulombPotential
from .slab import closed_cells
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
    :raises ValueError: see :func:`.slab.closed_cells`
    """
    num_atoms = positions.shape[0]
    systems = torch.zeros(num_atoms, dtype=torch.int64)
    cells = closed_cells(positions, cell[None], pbc[None], systems, solver.slab_gap)
    counts = torch.tensor([num_atoms])
    size = positions.element_size()
    # TorchScript cannot compute arrays again in the backward pass.
    limit = math.inf if isinstance(solver, torch.jit.ScriptModule) else solver.memory
    if not bool(pbc.any()):
        kept = round(min(num_atoms**2 * size, limit))
        return Estimate(num_atoms, "open", 0, [], 0.0, 0.0, kept)

    radii = solver.reciprocal.radii(cells, counts)
    sizes = solver.reciprocal.box_sizes(cells, radii).tolist()
    method = solver.methods(cells, [num_atoms], sizes, [int(pbc.sum())])[0]
    volume = torch.abs(torch.linalg.det(cells[0]))
    spacing = (volume / num_atoms) ** (1 / 3)
    sigma, cutoff = solver.smearing, solver.cutoff
    real_error = float(real_space_error(torch.tensor(cutoff / sigma), spacing / cutoff))
    box = (sizes[0][0] + 1) * (2 * sizes[0][1] + 1) * (2 * sizes[0][2] + 1)
    num_k, mesh = 0, []
    if method == "mesh":
        mesh = solver.mesh.shape(cells[0], num_atoms)
        points = solver.mesh.num_points(cells[0], num_atoms)
        width = solver.mesh.block + solver.mesh.order - 1
        atoms = 1.5 * num_atoms * (width**2 + 3 * width * num_columns)
        kept = size * (1.3 * points * num_columns + atoms)
        error = solver.mesh.accuracy
    elif solver.reciprocal.reference_wavelength > 0:
        num_k = box
        x = sigma * math.pi / solver.reciprocal.reference_wavelength
        error = float(reciprocal_error(torch.tensor(x), spacing / sigma))
        kept = 0.0
    else:
        num_k = round(float(volume * radii[0] ** 3) / (12 * math.pi**2))
        error = solver.reciprocal.accuracy
        kept = 0.0
    if method == "ewald":
        in_plane = math.pi * sizes[0][0] * (2 * sizes[0][1] + 1) / 2 + 1
        axis = 2 * (sizes[0][2] + 1) * num_columns
        kept = size * (in_plane * (3 * num_atoms + 6 * axis) + 3 * num_atoms * axis)
    pairs = 4 / 3 * math.pi * cutoff**3 * num_atoms / float(volume)
    kept = round(min(kept, limit) + num_atoms * pairs * (num_columns + 4) * size)
    return Estimate(num_atoms, method, num_k, mesh, real_error, error, kept)
