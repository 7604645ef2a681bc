r"""Where to stop the two sums of Ewald, so that a stated error is kept.

``accuracy``, wherever it is a parameter, is the largest error of the **reciprocal** part
(the sum over k-vectors, or on a mesh) that a sum may have: the larger one of

* the root mean square (RMS) error over atoms of the potentials, in units of
  :math:`q / 2 d`, and
* that of the forces, in units of :math:`q^2 / d^2`,

where :math:`q` is the RMS of the charges and :math:`d = (V / N)^{1/3}` the distance between
atoms. It says nothing of the real-space part, whose error, in the same units, follows from
cutoff and smearing (:func:`real_space_error`), nor of slabs beyond
:func:`.slab.slab_gap`. (Forces of a hardly distorted crystal are smaller than this unit,
so that their own relative error is larger.)

Estimates of errors follow Kolafa and Perram, Molecular Simulation 9, 351 (1992):
positions of neglected terms are uncorrelated. The factor :data:`SAFETY` makes up for
crystals, where they are not: the largest measured error is 3.6 times the estimate of the
reciprocal part, and 1.7 times that of the real-space part (``benchmarks/fit_accuracy.py``).
"""

import math


SAFETY = 4.0
FINEST = 1e-13  # accuracy that double precision holds


def reciprocal_error(x: float, spacing: float, safety: float = SAFETY) -> float:
    r"""Estimated relative error of a sum over :math:`k < x / \sigma`.

    With :math:`r = d / \sigma`, the larger one of

    .. math::

        \delta v = \left( \frac{2 r}{\pi x} + \frac{2}{r^{1/2} x^{3/2}} \right)
        e^{-x^2 / 2}, \quad
        \delta F = 2 \left( \frac{r}{x} \right)^{1/2} e^{-x^2 / 2}

    The first term of :math:`\delta v` is the atom's own smeared charge.

    :param x: radius of the sphere times the smearing, without unit
    :param spacing: distance between atoms in units of the smearing
    """
    potentials = 2 * spacing / (math.pi * x) + 2 / (math.sqrt(spacing) * x**1.5)
    forces = 2 * math.sqrt(spacing / x)
    return safety * max(potentials, forces) * math.exp(-0.5 * x * x)


def real_space_error(y: float, spacing: float, safety: float = SAFETY) -> float:
    r"""Estimated relative error of a real-space sum over :math:`r < r_c = y \sigma`.

    With :math:`s = d / r_c`, the larger one of

    .. math::

        \delta v = \left( \frac{2}{s^{1/2} y^2} + \frac{10}{s^2 y^3} \right)
        e^{-y^2 / 2}, \quad
        \delta F = 2 s^{1/2} e^{-y^2 / 2}

    The second term of :math:`\delta v` is for charged systems.

    :param y: cutoff in units of the smearing
    :param spacing: distance between atoms in units of the cutoff
    """
    potentials = 2 / (math.sqrt(spacing) * y**2) + 10 / (spacing**2 * y**3)
    forces = 2 * math.sqrt(spacing)
    return safety * max(potentials, forces) * math.exp(-0.5 * y * y)


def reciprocal_radius(spacing: float, smearing: float, accuracy: float) -> float:
    """Length of k-vectors at which the reciprocal sum has the wanted accuracy.

    :param spacing: distance between atoms ``(V / N)**(1/3)``
    :param smearing: width of the Gaussian charges, in the unit of ``spacing``
    :param accuracy: wanted :func:`reciprocal_error`
    :return: radius in inverse units of ``smearing``
    """
    x = math.sqrt(-2 * math.log(accuracy))
    for _ in range(4):
        prefactor = reciprocal_error(x, spacing / smearing) * math.exp(0.5 * x * x)
        x = math.sqrt(max(2 * math.log(prefactor / accuracy), 1.0))
    return x / smearing
