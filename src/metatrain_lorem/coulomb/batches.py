"""Positions, charges and cells of the systems that are summed together."""

from typing import Optional

import torch

from ..ops.rows import take_rows
from .cells import Cells
from .plan import Batch


def of_batch(
    positions: torch.Tensor, charges: torch.Tensor, batch: Batch
) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and charges of a batch, ``[B, N, 3]`` and ``[B, N, C]``."""
    if batch.is_all:
        shape = list(batch.atoms.shape)
        return positions.unflatten(0, shape), charges.unflatten(0, shape)
    of_atoms = take_rows(charges, batch.atoms) * batch.real
    return take_rows(positions, batch.atoms), of_atoms


def in_units(
    positions: torch.Tensor, cells: Cells, batch: Batch, units: Optional[torch.Tensor]
) -> tuple[torch.Tensor, Cells]:
    """Positions and cells of a batch in its units of length.

    :param positions: ``[B, N, 3]``
    :param cells: of all systems
    :param units: ``[B, 1, 1]``, none for those of the arguments
    """
    if not batch.is_all:
        cells = Cells(
            cells.vectors.index_select(0, batch.systems),
            cells.inverses.index_select(0, batch.systems),
            cells.volumes.index_select(0, batch.systems),
        )
    if units is None:
        return positions, cells
    units = units.to(positions.dtype)
    volumes = cells.volumes / units[:, 0, 0] ** 3
    return positions / units, Cells(cells.vectors / units, cells.inverses * units, volumes)
