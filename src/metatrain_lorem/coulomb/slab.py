"""Slabs: systems that are periodic along two lattice vectors."""

import math

import torch

from ..ops.rows import mean_rows, sum_rows, take_rows


def slab_gap(accuracy: float) -> float:
    """Vacuum that leaves a relative error of ``accuracy / 20``, and at most 1e-8.

    :return: in units of the longer lattice vector, see :func:`slab_cells`
    """
    return max(3.0, 0.5 - math.log(accuracy) / (2 * math.pi))


def slab_cells(
    positions: torch.Tensor,
    cells: torch.Tensor,
    pbc: torch.Tensor,
    systems: torch.Tensor,
    gap: float,
) -> torch.Tensor:
    """Give each slab a third cell vector, along the normal of its plane.

    Its length is the extent of the atoms along the normal plus ``gap`` times the longer
    of the two lattice vectors. The length carries no gradient: with the correction of
    :func:`slab_correction` the potential does not depend on it, and neither may the
    stress. What was stored along the open direction is ignored.

    :param positions: ``[N, 3]``
    :param cells: ``[S, 3, 3]``
    :param pbc: ``[S, 3]``
    :param systems: index of the system of each atom, ``[N]``
    :param gap: vacuum, in units of the longer lattice vector; the error of the slab
        potential falls like ``exp(-2 pi gap)``
    :return: ``[S, 3, 3]``, unchanged for all systems that are not slabs
    """
    is_slab = pbc.sum(1) == 2
    normals = slab_normals(cells, pbc)
    heights = (positions.detach() * normals.detach()[systems]).sum(1)
    zeros = torch.zeros_like(cells[:, 0, 0])
    top = zeros.scatter_reduce(0, systems, heights, "amax", include_self=False)
    bottom = zeros.scatter_reduce(0, systems, heights, "amin", include_self=False)
    longest = (torch.linalg.vector_norm(cells.detach(), dim=2) * pbc).amax(1)
    vacuum = normals * (top - bottom + gap * longest).unsqueeze(1)
    replaced = (is_slab.unsqueeze(1) & ~pbc).unsqueeze(2)  # [S, 3, 1]
    return torch.where(replaced, vacuum.unsqueeze(1), cells)


def slab_normals(cells: torch.Tensor, pbc: torch.Tensor) -> torch.Tensor:
    """Unit normals of the periodic planes ``[S, 3]``; (0, 0, 1) where there is none."""
    is_slab = (pbc.sum(1) == 2).unsqueeze(1)
    normals = plane_products(cells, pbc)
    z_axis = torch.zeros_like(normals)
    z_axis[:, 2] = 1.0
    normals = torch.where(is_slab, normals, z_axis)
    return normals / torch.linalg.vector_norm(normals, dim=1, keepdim=True)


def slab_correction(
    positions: torch.Tensor,
    charges: torch.Tensor,
    cells: torch.Tensor,
    pbc: torch.Tensor,
    systems: torch.Tensor,
    volumes: torch.Tensor,
) -> torch.Tensor:
    r"""Remove the interaction of a slab with its images across the vacuum.

    .. math::

        \Delta v_i = \frac{4 \pi}{V} \left( z_i M - \frac{M_2 + Q z_i^2}{2}
        - \frac{Q h^2}{12} \right)

    with :math:`M = \sum_j q_j z_j`, :math:`M_2 = \sum_j q_j z_j^2`, the total charge
    :math:`Q`, the height :math:`h` of the cell, and :math:`z` along the normal (Yeh and
    Berkowitz 1999; Ballenegger, Arnold and Cerda 2009 for charged slabs).

    :param cells: cells from :func:`slab_cells`
    :return: correction of the potentials ``[N, C]`` (not halved), zero for other systems
    """
    is_slab = (pbc.sum(1) == 2).to(positions.dtype)
    num_systems = cells.shape[0]
    normals = slab_normals(cells, pbc)
    z = (positions * take_rows(normals, systems)).sum(1)
    # Only differences of z matter; measure from the mean to keep the squares small.
    mean = mean_rows(z.detach(), systems, num_systems)
    z = (z - take_rows(mean, systems)).unsqueeze(1)

    moments = torch.stack([charges, charges * z, charges * z * z], dim=1)  # [N, 3, C]
    sums = sum_rows(moments, systems, num_systems)
    total, first, second = torch.unbind(take_rows(sums, systems), dim=1)
    areas = torch.linalg.vector_norm(plane_products(cells, pbc), dim=1)
    heights = (volumes / areas).detach()[systems].unsqueeze(1)
    factor = 4.0 * math.pi * is_slab / volumes  # [S]
    return take_rows(factor, systems).unsqueeze(1) * (
        z * first - 0.5 * (second + total * z * z) - total * heights * heights / 12.0
    )


def plane_products(cells: torch.Tensor, pbc: torch.Tensor) -> torch.Tensor:
    """Cross products of the two lattice vectors after the open one, ``[S, 3]``."""
    open_axis = torch.argmin(pbc.to(torch.int64), dim=1)
    rows = torch.arange(cells.shape[0], device=cells.device)
    first, second = cells[rows, (open_axis + 1) % 3], cells[rows, (open_axis + 2) % 3]
    return torch.cross(first, second, dim=1)
