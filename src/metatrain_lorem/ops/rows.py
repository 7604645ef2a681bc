"""Gathers of rows by an index, and sums, counts and means over equal indices."""

import torch


def take_rows(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """``values[index]``, whose gradient is a sum by index without sorting it.

    :param values: ``[N, ...]``
    :param index: any shape ``[*]``
    :return: ``[*, ...]``
    """
    return values.index_select(0, index.flatten()).unflatten(0, index.shape)


def sum_rows(values: torch.Tensor, index: torch.Tensor, num_sums: int) -> torch.Tensor:
    """Sum the rows of each index, such as all neighborhoods of an atom.

    :param values: ``[G, ...]``
    :param index: ``[G]``, each below ``num_sums``
    :return: ``[num_sums, ...]``, zero where there are no rows
    """
    shape = [num_sums] + list(values.shape[1:])
    zeros = torch.zeros(shape, dtype=values.dtype, device=values.device)
    return zeros.index_add(0, index, values)


def count_rows(index: torch.Tensor, num_counts: int) -> torch.Tensor:
    """How often each index occurs, ``[num_counts]``; no device has to be waited for."""
    return sum_rows(torch.ones_like(index), index, num_counts)


def mean_rows(values: torch.Tensor, index: torch.Tensor, num_means: int) -> torch.Tensor:
    """Means in place of the sums of :func:`sum_rows`."""
    counts = count_rows(index, num_means).clamp(min=1)
    shape = [-1] + [1] * (values.dim() - 1)
    return sum_rows(values, index, num_means) / counts.reshape(shape)
