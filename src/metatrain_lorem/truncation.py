r"""Where to stop the two sums of Ewald, so that a stated error is kept.

Errors are relative, and averaged over atoms (root mean square, RMS): those of potentials
to :math:`q / 2 d` and those of forces to :math:`q^2 / d^2`, where :math:`q` is the RMS of
the charges and :math:`d = (V / N)^{1/3}` the distance between atoms. Estimates follow
Kolafa and Perram, Molecular Simulation 9, 351 (1992): positions of neglected terms
are uncorrelated. The factor ``safety`` makes up for crystals, where they are not: it is
the ratio of the largest measured error to the estimate, see ``docs/long_range.md``.
"""

import math

import torch


def reciprocal_error(
    x: torch.Tensor, spacings: torch.Tensor, safety: float = 4.0
) -> torch.Tensor:
    r"""Estimated relative error of a sum over :math:`k < x / \sigma`.

    With :math:`r = d / \sigma`, the larger one of

    .. math::

        \delta v = \left( \frac{2 r}{\pi x} + \frac{2}{r^{1/2} x^{3/2}} \right)
        e^{-x^2 / 2}, \quad
        \delta F = 2 \left( \frac{r}{x} \right)^{1/2} e^{-x^2 / 2}

    The first term of :math:`\delta v` is the atom's own smeared charge.

    :param x: radius of the sphere times the smearing, without unit
    :param spacings: distance between atoms in units of the smearing
    """
    potentials = 2 * spacings / (math.pi * x) + 2 / (spacings.sqrt() * x**1.5)
    forces = 2 * (spacings / x).sqrt()
    return safety * torch.maximum(potentials, forces) * torch.exp(-0.5 * x * x)


def real_space_error(
    y: torch.Tensor, spacings: torch.Tensor, safety: float = 4.0
) -> torch.Tensor:
    r"""Estimated relative error of a real-space sum over :math:`r < r_c = y \sigma`.

    With :math:`s = d / r_c`, the larger one of

    .. math::

        \delta v = \left( \frac{2}{s^{1/2} y^2} + \frac{10}{s^2 y^3} \right)
        e^{-y^2 / 2}, \quad
        \delta F = 2 s^{1/2} e^{-y^2 / 2}

    The second term of :math:`\delta v` is for charged systems.

    :param y: cutoff in units of the smearing
    :param spacings: distance between atoms in units of the cutoff
    """
    potentials = 2 / (spacings.sqrt() * y**2) + 10 / (spacings**2 * y**3)
    forces = 2 * spacings.sqrt()
    return safety * torch.maximum(potentials, forces) * torch.exp(-0.5 * y * y)


def reciprocal_radius(
    spacings: torch.Tensor, smearing: float, accuracy: float
) -> torch.Tensor:
    """Length of k-vectors at which the reciprocal sum has the wanted accuracy.

    :param spacings: distances between atoms ``(V / N)**(1/3)``, of any shape
    :param smearing: width of the Gaussian charges, in the unit of ``spacings``
    :param accuracy: wanted :func:`reciprocal_error`
    :return: radii in inverse units of ``smearing``, of the same shape
    """
    spacings = spacings / smearing
    x = torch.full_like(spacings, math.sqrt(-2 * math.log(accuracy)))
    for _ in range(4):
        prefactors = reciprocal_error(x, spacings) * torch.exp(0.5 * x * x)
        x = (2 * torch.log(prefactors / accuracy)).clamp(min=1.0).sqrt()
    return x / smearing


def widest_smearing(volume: float, cutoff: float, accuracy: float) -> float:
    """Width of Gaussian charges whose real-space sum has the wanted accuracy.

    :param volume: volume per atom
    :param cutoff: radius of the real-space sum
    :param accuracy: wanted :func:`real_space_error`
    :return: width in the unit of ``cutoff``
    """
    spacings = torch.tensor(volume ** (1 / 3) / cutoff, dtype=torch.float64)
    y = torch.full_like(spacings, math.sqrt(-2 * math.log(accuracy)))
    for _ in range(4):
        prefactors = real_space_error(y, spacings) * torch.exp(0.5 * y * y)
        y = (2 * torch.log(prefactors / accuracy)).clamp(min=1.0).sqrt()
    return cutoff / float(y)
