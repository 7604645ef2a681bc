"""Matrices that rotate spherical components in our order."""

import torch
from e3nn import o3


def wigner_matrix(rotation: torch.Tensor, max_degree: int) -> torch.Tensor:
    """``D [M, M]`` with ``Y(rotation @ r) = D @ Y(r)``, in float64.

    From e3nn's harmonics, which become ours when they are fed with (y, z, x). Its own
    ``wigner_D`` (0.6.0) is accurate to 1e-6 only.
    """
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(100, 3, dtype=torch.float64, generator=generator)
    blocks = []
    for degree in range(max_degree + 1):
        before, after = [
            o3.spherical_harmonics(degree, v[:, [1, 2, 0]], normalize=True)
            for v in (vectors, vectors @ rotation.T)
        ]
        blocks.append(torch.linalg.lstsq(before, after).solution.T)
    return torch.block_diag(*blocks)
