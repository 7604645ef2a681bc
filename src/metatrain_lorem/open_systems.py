"""Sums over all pairs of systems without periodic directions."""

import torch
from torch.utils.checkpoint import checkpoint


def not_too_close(distances: torch.Tensor, smallest: float = 1e-6) -> torch.Tensor:
    """Keep the potentials of overlapping charges finite."""
    return distances.clamp(min=smallest)


def open_potentials(
    positions: torch.Tensor, charges: torch.Tensor, memory: int
) -> torch.Tensor:
    r"""Bare sums :math:`v_i = \sum_{j \ne i} q_j / r_{ij}` over all pairs.

    Squared distances come from a matrix product in double precision, relative to the
    center of the system: their error is about ``1e-15`` times the square of its extent.

    :param positions: ``[B, N, 3]``
    :param charges: ``[B, N, C]``, zero for padding
    :param memory: bytes that the working arrays may take
    :return: ``[B, N, C]``
    """
    num_systems, num_atoms = positions.shape[0], positions.shape[1]
    centered = positions - positions.detach().mean(1, keepdim=True)
    row = 48 * num_systems * num_atoms
    keep = row * num_atoms <= memory
    # Arrays of a few MB stay in the processor's cache: three times as fast.
    chunk_size = max(1, min(memory, 32_000_000) // row)
    parts: list[torch.Tensor] = []
    for start in range(0, num_atoms, chunk_size):
        stop = min(start + chunk_size, num_atoms)
        if torch.jit.is_scripting() or keep:
            part = open_rows(centered, charges, start, stop)
        else:
            # The arrays of a chunk are computed again in the backward pass.
            part = checkpoint(
                open_rows, centered, charges, start, stop, use_reentrant=False
            )
        parts.append(part)
    return torch.cat(parts, dim=1)


def open_rows(
    positions: torch.Tensor, charges: torch.Tensor, start: int, stop: int
) -> torch.Tensor:
    """Rows ``start ... stop - 1`` of :func:`open_potentials`, ``[B, rows, C]``.

    All that the backward pass keeps for a pair is its inverse distance.
    """
    exact = positions.to(torch.float64)
    squares = (exact * exact).sum(2, keepdim=True)
    ones = torch.ones_like(squares)
    left = torch.cat([-2 * exact, squares, ones], dim=2)[:, start:stop]
    right = torch.cat([exact, ones, squares], dim=2)
    squared = torch.bmm(left, right.transpose(1, 2))  # [B, rows, N]
    # As `not_too_close`, but the squared distances need not be kept for its derivative
    missing = 1e-12 - squared.detach()
    missing = missing.clamp(min=0.0)
    missing.diagonal(start, 1, 2).fill_(torch.inf)
    return torch.bmm((squared + missing).to(charges.dtype).rsqrt(), charges)
