"""Sums over all pairs of systems without periodic directions."""

import torch
from torch.utils.checkpoint import checkpoint

from ..ops.budget import MEMORY, NEW_PAGES


def not_too_close(distances: torch.Tensor, smallest: float = 1e-6) -> torch.Tensor:
    """Keep the potentials of overlapping charges finite."""
    return distances.clamp(min=smallest)


def open_potentials(
    positions: torch.Tensor,
    charges: torch.Tensor,
    memory: int = MEMORY,
    page_limit: int = NEW_PAGES,
) -> torch.Tensor:
    r"""Bare sums :math:`v_i = \sum_{j \ne i} q_j / r_{ij}` over all pairs.

    Squared distances come from a matrix product in double precision, relative to the
    center of the system: their error is about ``1e-15`` times the square of its extent.

    :param positions: ``[B, N, 3]``
    :param charges: ``[B, N, C]``, zero for padding
    :param memory: bytes that the working arrays may take
    :param page_limit: bytes from which on an array is made of new pages
    :return: ``[B, N, C]``
    """
    num_systems, num_atoms = positions.shape[0], positions.shape[1]
    exact = (positions - positions.detach().mean(1, keepdim=True)).to(torch.float64)
    squares = (exact * exact).sum(2, keepdim=True)
    ones = torch.ones_like(squares)
    left = torch.cat([-2 * exact, squares, ones], dim=2)
    right = torch.cat([exact, ones, squares], dim=2).transpose(1, 2)

    row = 48 * num_systems * num_atoms
    keep = row * num_atoms <= memory
    # Arrays of a few MB stay in the processor's cache: three times as fast. But the
    # allocator keeps a hole for each of them, as it does not for arrays of new pages.
    few = row * num_atoms <= 8 * memory
    chunk_size = max(1, min(memory, page_limit if few else memory) // row)
    parts: list[torch.Tensor] = []
    for i, rows in enumerate(torch.split(left, chunk_size, 1)):
        start = i * chunk_size
        if torch.jit.is_scripting() or keep:
            part = open_rows(rows, right, charges, start)
        else:
            # The arrays of a chunk are computed again in the backward pass.
            part = checkpoint(open_rows, rows, right, charges, start, use_reentrant=False)
        parts.append(part)
    return torch.cat(parts, dim=1)


def open_rows(
    left: torch.Tensor, right: torch.Tensor, charges: torch.Tensor, start: int
) -> torch.Tensor:
    """Rows of :func:`open_potentials` from ``start`` on, ``[B, rows, C]``.

    All that the backward pass keeps for a pair is its inverse distance.

    :param left: ``[B, rows, 5]``, whose product with ``right`` is the squared distances
    :param right: ``[B, 5, N]``
    """
    squared = torch.bmm(left, right)  # [B, rows, N]
    # As `not_too_close`, but the squared distances need not be kept for its derivative
    missing = (1e-12 - squared.detach()).clamp(min=0.0)
    missing.diagonal(start, 1, 2).fill_(torch.inf)
    return torch.bmm((squared + missing).to(charges.dtype).rsqrt(), charges)
