"""Volumes and inverses of cells (lattice vectors as rows), by products of vectors.

Unlike those of ``torch.linalg``, they do not make the host wait for a GPU, and can be
captured in a CUDA graph.
"""

from typing import NamedTuple

import torch


class Cells(NamedTuple):
    """Lattices of ``S`` systems, with gradients."""

    vectors: torch.Tensor  # [S, 3, 3] as rows
    inverses: torch.Tensor  # [S, 3, 3]
    volumes: torch.Tensor  # [S]


def cell_volumes(cells: torch.Tensor) -> torch.Tensor:
    r""":math:`|a_1 \cdot (a_2 \times a_3)|`, ``[..., 3, 3] -> [...]``"""
    normals = torch.cross(cells[..., 1, :], cells[..., 2, :], dim=-1)
    return torch.abs((cells[..., 0, :] * normals).sum(-1))


def inverse_cells(cells: torch.Tensor) -> torch.Tensor:
    r"""Inverse matrices: columns :math:`a_2 \times a_3 / V`, ..., ``[..., 3, 3]``."""
    return inverses_and_volumes(cells)[0]


def inverses_and_volumes(cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """See :func:`inverse_cells` and :func:`cell_volumes`, in fewer steps."""
    normals = torch.cross(cells.roll(-1, -2), cells.roll(-2, -2), dim=-1)
    signed_volumes = (cells[..., 0, :] * normals[..., 0, :]).sum(-1)
    inverses = normals.transpose(-2, -1) / signed_volumes[..., None, None]
    return inverses, torch.abs(signed_volumes)
