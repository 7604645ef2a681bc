"""Numerical choices of lorem-jax, for those who want its very numbers."""

import torch

from ..coulomb.kvectors import KBox
from ..coulomb.solver import CoulombSolver


def jax_solver(cutoff: float, smearing: float | None = None) -> CoulombSolver:
    """The Coulomb solver with the k-vectors and the slab vacuum of lorem-jax.

    :param smearing: width of the Gaussian charges, by default a quarter of the cutoff
    """
    smearing = cutoff / 4 if smearing is None else smearing
    kvectors = KBox(smearing, wavelength=cutoff / 8)
    return CoulombSolver(cutoff, smearing, method="ewald", kvectors=kvectors, vacuum=1.5)


def jax_binomial_errors(num_radial: int) -> torch.Tensor:
    r"""Errors of the logarithms of the binomials in lorem-jax's radial basis.

    They come from ``jax.scipy.special.betaln`` (seen in jax 0.10.2), whose asymptotic
    series for :math:`b \ge 8` takes :math:`a / (a + b)` where it should take :math:`b / (a
    + b)`, with :math:`a \le b` (Didonato and Morris, ACM Trans. Math. Softw. 18, 360,
    1992). At most 6e-8 for 32 functions, 1e-6 for 8, and 0 for up to 7.

    :param num_radial: number of functions ``K``
    :return: ``[K]``, float64
    """
    # Stirling's series, without the term that does not depend on the argument
    series = [-1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360]
    k = torch.arange(num_radial, dtype=torch.float64)
    a, b = torch.minimum(k, k.flip(0)) + 1, torch.maximum(k, k.flip(0)) + 1
    errors = torch.zeros_like(k)
    for i, coefficient in enumerate(series):
        powers = torch.arange(2 * i + 3, dtype=torch.float64)
        wrong = ((a / (a + b)).unsqueeze(1) ** powers).sum(1)
        right = ((b / (a + b)).unsqueeze(1) ** powers).sum(1)
        errors += coefficient * b ** (-2 * i - 2) * (right - wrong)
    return torch.where(b < 8, 0.0, errors * a / (a + b) / b)
