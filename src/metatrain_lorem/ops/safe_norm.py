"""Lengths of vectors, with derivatives at length zero."""

import torch


def safe_norm(vectors: torch.Tensor) -> torch.Tensor:
    """Length of vectors ``[..., 3] -> [...]``, with zero gradient at length zero."""
    squared = (vectors * vectors).sum(-1)
    is_zero = squared == 0
    return torch.where(is_zero, squared, torch.where(is_zero, 1.0, squared).sqrt())
