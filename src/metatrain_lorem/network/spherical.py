"""Spherical harmonics.

Components are flattened to one axis of ``M = (L + 1)**2`` entries: degree ``l`` takes
``l**2 ... (l + 1)**2 - 1``, with ``m = -l ... l`` in this order. The three components of
``l = 1`` are therefore ``y, z, x``.
"""

import math

import numpy as np
import torch

from .powers import coordinate_powers


def degrees_of_components(max_degree: int) -> torch.Tensor:
    """Degree ``l`` of each flattened component, ``[M]``."""
    degrees = torch.arange(max_degree + 1)
    return degrees.repeat_interleave(2 * degrees + 1)


class SphericalHarmonics(torch.nn.Module):
    r"""Real spherical harmonics in Racah's normalization, :math:`\sum_m Y_{lm}^2 = 1`.

    For a unit vector :math:`(x, y, z)`,

    .. math::

        Y_{lm} = N_{lm} \frac{d^{|m|} P_l(z)}{dz^{|m|}} \times
        \begin{cases}
            \mathrm{Re}\,(x + iy)^m & m \ge 0 \\ \mathrm{Im}\,(x + iy)^{|m|} & m < 0
        \end{cases}, \quad
        N_{lm}^2 = (2 - \delta_{m0}) \frac{(l - |m|)!}{(l + |m|)!}

    Both factors are matrix products of a few powers with constant tables, so that the
    number of operations does not grow with the number of components.

    :param max_degree: highest degree ``L``
    """

    def __init__(self, max_degree: int) -> None:
        super().__init__()
        self.max_degree = max_degree
        num_components = (max_degree + 1) ** 2
        polar = torch.zeros(max_degree + 1, num_components, dtype=torch.float64)
        azimuthal = torch.zeros(2, max_degree + 1, num_components, dtype=torch.float64)
        for degree in range(max_degree + 1):
            legendre = np.polynomial.Legendre.basis(degree).convert(
                kind=np.polynomial.Polynomial
            )
            for m in range(-degree, degree + 1):
                component = degree**2 + degree + m
                coefficients = legendre.deriv(abs(m)).coef if m != 0 else legendre.coef
                norm = math.factorial(degree - abs(m)) / math.factorial(degree + abs(m))
                norm = math.sqrt(norm * (1 if m == 0 else 2))
                polar[: len(coefficients), component] = norm * torch.from_numpy(
                    coefficients
                )
                azimuthal[int(m < 0), abs(m), component] = 1.0
        # Means of the powers of z over all directions
        powers = torch.arange(max_degree + 1, dtype=torch.float64)
        means = torch.where(powers % 2 == 0, 1 / (powers + 1), 0.0)
        self.register_buffer("means", means.unsqueeze(1), persistent=False)
        self.register_buffer("polar", polar, persistent=False)
        self.register_buffer("azimuthal", azimuthal.flatten(0, 1), persistent=False)

    def forward(self, vectors: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
        """Harmonics of the directions of ``vectors``.

        :param vectors: ``[G, W, 3]``
        :param distances: their lengths ``[G, W]``; a zero vector has no direction, and
            gets the mean over all directions: 1 for degree 0, zero for all others
        :return: ``[G, M, W]``
        """
        has_direction = (distances > 0).unsqueeze(1)
        # Whatever is divided by infinity vanishes, with all its derivatives.
        safe_distances = torch.where(has_direction, distances.unsqueeze(1), torch.inf)
        directions = vectors.transpose(1, 2) / safe_distances  # [G, 3, W]
        of_xy, of_z = coordinate_powers(directions, self.max_degree)
        dtype = of_z.dtype
        polar = torch.where(has_direction, of_z, self.means.to(dtype))
        polar = self.polar.to(dtype).t() @ polar
        return polar * (self.azimuthal.to(dtype).t() @ of_xy.flatten(1, 2))

    def extra_repr(self) -> str:
        return f"max_degree={self.max_degree}"
