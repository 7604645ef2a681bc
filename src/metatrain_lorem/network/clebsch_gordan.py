"""Clebsch-Gordan coefficients of real spherical harmonics."""

import math

import torch
from e3nn.o3 import wigner_3j


def clebsch_gordan(max_degree1: int, max_degree2: int, max_degree3: int) -> torch.Tensor:
    r"""Real Clebsch-Gordan coefficients :math:`C^{l_3 m_3}_{l_1 m_1 l_2 m_2}`.

    Normalized by :math:`\sum_{m_1 m_2} C^2 = 1` for each allowed path. The sign of a path
    with even :math:`l_1 + l_2 + l_3` is the one for which harmonics of one direction
    multiply to harmonics with a positive factor (that of e3x, hence of lorem-jax):
    :math:`\sum C Y_{l_1 m_1} Y_{l_2 m_2} = |\langle l_1 0 l_2 0 | l_3 0 \rangle| Y_{l_3
    m_3}` in Racah's normalization.

    :return: ``[(L1 + 1)**2, (L2 + 1)**2, (L3 + 1)**2]``, float64
    """
    shape = [(degree + 1) ** 2 for degree in (max_degree1, max_degree2, max_degree3)]
    coefficients = torch.zeros(shape, dtype=torch.float64)
    for l1 in range(max_degree1 + 1):
        for l2 in range(max_degree2 + 1):
            for l3 in range(abs(l1 - l2), min(l1 + l2, max_degree3) + 1):
                # e3nn's components of degree 1 are x, y, z of a frame whose polar axis
                # is y; fed with (y, z, x) its harmonics are ours for every degree, so
                # its coefficients are ours up to norm and sign.
                path = wigner_3j(l1, l2, l3, dtype=torch.float64)
                path = path * math.sqrt(2 * l3 + 1) * _path_sign(l1, l2, l3, path)
                coefficients[
                    l1**2 : (l1 + 1) ** 2, l2**2 : (l2 + 1) ** 2, l3**2 : (l3 + 1) ** 2
                ] = path
    return coefficients


def _path_sign(l1: int, l2: int, l3: int, path: torch.Tensor) -> float:
    """Sign that brings e3nn's coefficients of one path to the convention above."""
    if (l1 + l2 + l3) % 2 == 1:
        return 1.0
    # Along the z axis only the components m = 0 differ from zero.
    return float(torch.sign(path[l1, l2, l3]))
