"""Features of the atoms, and their sizes."""

from typing import NamedTuple

import torch


class Sizes(NamedTuple):
    """Sizes of the features, which all stages of a network and its readouts share."""

    num_stages: int  # short range, steps of message passing, long range
    num_features: int  # d, scalar features
    num_spherical_features: int  # c, channels of each degree
    max_degree: int  # L

    @property
    def num_invariants(self) -> int:
        """One number for each degree and channel, such as their norms: ``(L + 1) c``."""
        return (self.max_degree + 1) * self.num_spherical_features


class Features(NamedTuple):
    """What one stage of the network knows of the ``N`` atoms."""

    scalars: torch.Tensor  # h [N, d]
    spherical: torch.Tensor  # x [N, M, c]
