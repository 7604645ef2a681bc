"""Radial basis: Bernstein polynomials under a cosine cutoff."""

import math

import torch


# Smaller functions are zero.
ZERO = 1e-22


class RadialBasis(torch.nn.Module):
    r"""Bernstein polynomials of the reduced distance, times a cosine cutoff.

    .. math::

        R_k(r) = \binom{n}{k} x^k (1-x)^{n-k} f_c(r), \quad x = r / r_c, \quad
        f_c(r) = \tfrac12 \left(1 + \cos \pi x\right)

    for ``k = 0 ... K-1``; zero at and beyond the cutoff. In the paper (arXiv:2507.19382,
    section "Architecture"), the degree is :math:`n = K-1`; the last function then falls
    like :math:`(1-x)^2`, and forces have a kink where a pair crosses the cutoff. Without
    the last :math:`n - K + 1 = m` functions of a higher degree, all fall at least like
    :math:`(1-x)^{2+m}`, at no cost. Evaluated as one exponential of a linear combination of
    ``log x``, ``log(1-x)`` and ``log sin(pi (1-x) / 2)``, which is as accurate as the
    product and takes two kernels instead of ``K``.

    :param cutoff: cutoff radius ``r_c``, in the unit of the distances
    :param num_radial: number of functions ``K``
    :param num_dropped: number ``m`` of functions left out
    :param binomial_errors: added to the logarithms of the binomials ``[K]``, see
        :func:`.jax_binomial_errors`
    """

    def __init__(
        self,
        cutoff: float,
        num_radial: int,
        num_dropped: int = 0,
        binomial_errors: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.num_radial = num_radial
        self.num_dropped = num_dropped
        self.zero, self.log_zero = ZERO, math.log(ZERO)
        degree = num_radial - 1 + num_dropped
        k = torch.arange(num_radial, dtype=torch.float64)
        log_binomial = (
            math.lgamma(degree + 1) - torch.lgamma(k + 1) - torch.lgamma(degree - k + 1)
        )
        if binomial_errors is not None:
            log_binomial = log_binomial + binomial_errors
        powers = torch.stack([k, degree - k, torch.full_like(k, 2.0)])
        self.register_buffer("powers", powers, persistent=False)
        self.register_buffer("log_binomial", log_binomial, persistent=False)

    def forward(self, distances: torch.Tensor) -> torch.Tensor:
        """``[G, W] -> [G, K, W]``, for distances of at least zero."""
        # The clamp only keeps logarithms finite: at x = 1e-12, all but one function have
        # vanished; outside of the cutoff, all do.
        ends = torch.stack([distances, self.cutoff - distances], dim=1) / self.cutoff
        x, one_minus_x = ends.clamp(min=1e-12, max=1).unbind(1)
        # 1 + cos(pi x) = 2 sin^2(pi (1 - x) / 2) does not cancel at the cutoff.
        sine = torch.sin(0.5 * math.pi * one_minus_x)
        logs = torch.stack([x, one_minus_x, sine], dim=1).log()
        exponents = torch.baddbmm(
            self.log_binomial.to(logs.dtype).unsqueeze(1),
            self.powers.to(logs.dtype).t().expand(logs.shape[0], -1, -1),
            logs,
        )
        # Exponentials that underflow, and products of denormal numbers, take a CPU ten to
        # sixty times longer. No gradient passes where the threshold comes after.
        exponents.detach().clamp_(min=self.log_zero - 1.0)
        return torch.nn.functional.threshold(exponents.exp(), self.zero, 0.0)

    def extra_repr(self) -> str:
        return (
            f"cutoff={self.cutoff}, num_radial={self.num_radial}, "
            f"num_dropped={self.num_dropped}"
        )
