"""Coulomb potentials of any number of charge columns, in any periodicity.

Conventions, shared with the reference code of LOREM and with torch-pme: Gaussian-like
units (a unit charge at distance ``r`` contributes ``1 / r``), and potentials carry a
factor 1/2, so that the electrostatic energy of a system is ``(q * v).sum()``. Multiply by
``torchpme.prefactors.eV_A`` (14.3996) for energies in eV from elementary charges and
Angstrom.
"""

import torch

from ..graph import Graph, gather_neighborhoods, neighbor_vectors
from ..ops.safe_norm import safe_norm
from .cells import cell_volumes
from .neighbors import neighbor_list
from .periodicity import checked_cells
from .solver import CoulombPotential
from .truncation import widest_smearing


__all__ = ["CoulombPotential", "coulomb_potentials"]


def coulomb_potentials(
    positions: torch.Tensor,
    charges: torch.Tensor,
    cell: torch.Tensor,
    pbc: torch.Tensor,
    *,
    cutoff: float,
    smearing: float | None = None,
    accuracy: float = 1e-6,
    memory: int = 2**29,
    method: str = "auto",
) -> torch.Tensor:
    r"""Coulomb potentials of one system, which may be open, a slab or a crystal.

    Finds its neighbors itself. Differentiable twice in positions, charges and cell. See
    :class:`CoulombPotential` for formulas.

    :param positions: ``[N, 3]``
    :param charges: ``[N, C]``; each column is a problem of its own
    :param cell: lattice vectors as rows, ``[3, 3]``; rows of open directions are ignored
    :param pbc: periodic directions, ``[3]`` booleans
    :param cutoff: radius of the real-space sum, in the unit of ``positions``
    :param smearing: width of the Gaussian charges; by default the widest one at which
        the real-space sum takes half of ``accuracy``
    :param accuracy: RMS error of potentials, relative to ``q / 2d``, and forces, relative
        to ``q**2 / d**2``, with the RMS of charges ``q`` and ``d = (V / N)**(1/3)``;
        without the real-space part if ``smearing`` is given
    :param memory: bytes that the working arrays of one step may take
    :param method: ``ewald``, ``mesh`` or ``auto``, see :class:`CoulombPotential`
    :return: potentials with the factor 1/2, ``[N, C]``; the energy is ``(q * v).sum()``
    :raises ValueError: for periodicity in one direction or a cell without volume
    """
    num_atoms = positions.shape[0]
    if num_atoms == 0:
        return charges
    zeros = torch.zeros(num_atoms, dtype=torch.int64, device=positions.device)
    solver = CoulombPotential(cutoff, smearing or cutoff / 4, accuracy, memory, method)
    # Before neighbors are searched: refuses cells that make no sense
    cells, _ = checked_cells(positions, cell[None], pbc[None], zeros, solver.slab_gap)
    if smearing is None and accuracy > 0:
        volume = float(cell_volumes(cells))
        smearing = widest_smearing(volume / num_atoms, cutoff, 0.5 * accuracy)
        solver = CoulombPotential(cutoff, smearing, accuracy, memory, method)
    centers, neighbors, cell_shifts = neighbor_list(positions, cell, pbc, cutoff)
    graph = Graph(
        positions=positions,
        species=zeros,
        cells=cell.unsqueeze(0),
        pbc=pbc.unsqueeze(0),
        systems=zeros,
        centers=centers,
        neighbors=neighbors,
        cell_shifts=cell_shifts,
    )
    rows = gather_neighborhoods(graph)
    distances = safe_norm(neighbor_vectors(graph, rows, cutoff))
    return solver.to(positions.device)(graph, rows, distances, charges)
