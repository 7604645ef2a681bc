"""Chunks: consecutive rows of large arrays, treated at once to stay in a CPU's cache."""

import math

import torch

from .budget import CHUNK


def chunk_size(values: torch.Tensor, width: int, budget: int = CHUNK) -> int:
    """Rows to treat at once, one at least; on a GPU, all of them.

    :param values: array whose first axis is cut
    :param width: numbers in the working arrays of each row
    :param budget: numbers in the working arrays of a chunk; chunks are about equal
    """
    num_rows = max(values.shape[0], 1)
    if values.is_cuda:
        return num_rows
    num_chunks = min(max(math.ceil(num_rows * width / budget), 1), num_rows)
    return math.ceil(num_rows / num_chunks)


def cut(values: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Chunks of ``size`` rows.

    The gradient of all chunks is one array, where that of each slice would be a whole one.
    """
    if values.shape[0] <= size:
        return [values]
    return list(torch.split(values, size))


def join(chunks: list[torch.Tensor]) -> torch.Tensor:
    """All rows of the chunks; a single chunk is not copied."""
    return chunks[0] if len(chunks) == 1 else torch.cat(chunks)
