"""Pieces of large arrays that stay in the cache of a CPU core."""

import math

import torch


def chunk_size(values: torch.Tensor, width: int, limit: int) -> int:
    """Rows to treat at once, one at least; on a GPU, all of them.

    :param values: first axis is cut into pieces
    :param width: size of the working arrays for each row
    :param limit: size that stays in the cache, in the same unit; pieces are about equal
        and have one row at least
    """
    num_rows = max(values.shape[0], 1)
    if values.is_cuda:
        return num_rows
    num_chunks = min(max(math.ceil(num_rows * width / limit), 1), num_rows)
    return math.ceil(num_rows / num_chunks)


def cut(values: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Pieces of ``size`` rows.

    The gradient of all pieces is one array, where that of each slice would be a whole one.
    """
    if values.shape[0] <= size:
        return [values]
    return list(torch.split(values, size))


def join(pieces: list[torch.Tensor]) -> torch.Tensor:
    """All rows of the pieces; a single piece is not copied."""
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
