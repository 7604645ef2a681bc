"""Sums over all pairs of atoms of a system, in rows of atoms."""

import torch
from torch.utils.checkpoint import checkpoint

from ..ops.budget import MEMORY, NEW_PAGES


class AllPairs(torch.nn.Module):
    """What :class:`.OpenSum` and :class:`.NearestImages` share.

    :param numbers: in the working arrays of each pair, in double precision
    :param memory: bytes that the working arrays may take
    """

    def __init__(self, numbers: int, memory: int = MEMORY) -> None:
        super().__init__()
        self.numbers = numbers
        self.memory = memory
        self.page_limit = NEW_PAGES  # bytes from which on an array is made of new pages

    def rows(
        self, atoms: torch.Tensor, others: list[torch.Tensor], start: int
    ) -> torch.Tensor:
        """Sums of some atoms, over all others.

        :param atoms: part of the first argument of :meth:`all_rows`, ``[B, n, ...]``
        :param others: second argument of :meth:`all_rows`
        :param start: index of the first of these atoms
        :return: ``[B, n, C]``
        """
        raise NotImplementedError

    def all_rows(self, atoms: torch.Tensor, others: list[torch.Tensor]) -> torch.Tensor:
        """Sums of all atoms, as many at once as the memory allows.

        :param atoms: ``[B, N, ...]``
        :param others: all that :meth:`rows` needs beside them
        :return: ``[B, N, C]``
        """
        row = 8 * self.numbers * atoms.shape[0] * atoms.shape[1]
        keep = row * atoms.shape[1] <= self.memory
        # Arrays of a few MB stay in the processor's cache: three times as fast. But the
        # allocator keeps a hole for each of them, as it does not for arrays of new pages.
        few = row * atoms.shape[1] <= 8 * self.memory
        limit = min(self.memory, self.page_limit) if few else self.memory
        chunk_size = max(1, limit // row)
        parts: list[torch.Tensor] = []
        for i, part in enumerate(torch.split(atoms, chunk_size, 1)):
            start = i * chunk_size
            if torch.jit.is_scripting() or keep:
                sums = self.rows(part, others, start)
            else:
                # The arrays of a chunk are computed again in the backward pass.
                sums = checkpoint(self.rows, part, others, start, use_reentrant=False)
            parts.append(sums)
        return torch.cat(parts, dim=1)


def not_too_close(distances: torch.Tensor, smallest: float = 1e-6) -> torch.Tensor:
    """Keep the potentials of overlapping charges finite."""
    return distances.clamp(min=smallest)


def apart(squares: torch.Tensor, start: int, itself: float) -> torch.Tensor:
    """As :func:`not_too_close` for squared distances, which need not be kept for that.

    :param squares: squared distances of the atoms from ``start`` on to all, ``[B, n, N]``
    :param itself: added to that of an atom to itself
    """
    missing = (1e-12 - squares.detach()).clamp(min=0.0)
    missing.diagonal(start, 1, 2).fill_(itself)
    return squares + missing
