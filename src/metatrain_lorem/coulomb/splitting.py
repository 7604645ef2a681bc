r"""How :math:`1/r` is split into a sum over pairs and a sum over k-vectors.

Both ways smear the charges by a density around them. What the density does not change,
beyond a radius, is left to k-vectors; the rest is the kernel of pairs. The potential of the
smeared charge at a distance :math:`r` is :math:`L(r)`, that of pairs :math:`1/r - L(r)`,
and the Fourier transform of :math:`L` is :math:`4 \pi \hat w(k) / k^2`.
"""

import math

import torch

from .truncation import real_space_error, reciprocal_radius
from .windows import cosine_window, powers_of_cosine


class Split(torch.nn.Module):
    """What :class:`GaussianSplit` and :class:`CompactSplit` share.

    :param cutoff: radius of the real-space sum ``r_c``
    :param accuracy: of the reciprocal part, see :mod:`.truncation`
    """

    def __init__(self, cutoff: float, accuracy: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.accuracy = accuracy
        self.smearing = 0.0  # root mean square of one component of the density
        self.self_potential = 0.0  # of a smeared charge at its center, L(0)
        self.mesh_error = 0.0  # see `mesh_spacing`

    def extra_repr(self) -> str:
        """Settings."""
        return f"smearing={self.smearing:.4g}, accuracy={self.accuracy:g}"

    def pairs(self, distances: torch.Tensor) -> torch.Tensor:
        """:math:`1/r - L(r)` of distances above zero; 0 beyond the cutoff."""
        raise NotImplementedError

    def waves(self, k_squared: torch.Tensor) -> torch.Tensor:
        r""":math:`4 \\pi \\hat w(k) / k^2` of squared lengths of k-vectors."""
        raise NotImplementedError

    def radius(self, spacing: float) -> float:
        """Length of k-vectors at which their sum may end.

        :param spacing: distance between atoms ``(V / N)**(1/3)``
        """
        raise NotImplementedError

    def real_space_error(self, spacing: float) -> float:
        """Estimated relative error of the sum over pairs, see :mod:`.truncation`."""
        raise NotImplementedError


class GaussianSplit(Split):
    r"""Gaussian charges, the usual Ewald sum.

    .. math::

        \frac1r - L(r) = \frac{\mathrm{erfc}(r / \sqrt2 \sigma)}{r}, \quad
        \hat w(k) = e^{-\sigma^2 k^2 / 2}

    Both sums end with a step: pairs, of a relative :math:`\mathrm{erfc}(r_c / \sqrt2
    \sigma)`; k-vectors, of an error below ``accuracy``.

    :param smearing: width :math:`\sigma`
    """

    def __init__(self, cutoff: float, smearing: float, accuracy: float) -> None:
        super().__init__(cutoff, accuracy)
        self.smearing = smearing
        self.self_potential = math.sqrt(2 / math.pi) / smearing
        # Two to three times what `benchmarks/fit_accuracy.py` finds, for both splits
        self.mesh_error = 5e-3

    def pairs(self, distances: torch.Tensor) -> torch.Tensor:
        """See :class:`Split`."""
        kernel = torch.erfc(distances / (math.sqrt(2.0) * self.smearing)) / distances
        return kernel * (distances < self.cutoff)

    def waves(self, k_squared: torch.Tensor) -> torch.Tensor:
        """See :class:`Split`."""
        return 4 * math.pi * torch.exp(-0.5 * self.smearing**2 * k_squared) / k_squared

    def radius(self, spacing: float) -> float:
        """See :class:`Split`."""
        return reciprocal_radius(spacing, self.smearing, self.accuracy)

    @torch.jit.export
    def real_space_error(self, spacing: float) -> float:
        """See :class:`Split`."""
        return real_space_error(self.cutoff / self.smearing, spacing / self.cutoff)


class CompactSplit(Split):
    r"""Charges of finite extent: both sums end, and all of the interaction is in them.

    The density is made of a window, an even function of :math:`x = r / r_c` that is zero
    from the cutoff on,

    .. math::

        w(x) = \sum_{n=0}^{N} a_n \cos n \pi x, \quad
        L(r) = \frac{2}{r} \int_0^{r / r_c} w(x) \, dx, \quad
        \hat w(k) = \int_{-1}^{1} w(x) \cos(k r_c x) \, dx

    Hence :math:`L(r) = 1/r` beyond the cutoff, without any error, and

    .. math::

        \frac1r - L(r) = \frac1r \left( 1 - \frac{r}{r_c}
        - \sum_{n=1}^{N} \frac{2 a_n}{n \pi} \sin \frac{n \pi r}{r_c} \right)

    falls to zero like :math:`(r_c - r)^3`. The coefficients are those of the window with
    the least weight beyond some wave number (:func:`.cosine_window`), where :math:`\hat w`
    has a zero of third order and the sum over k-vectors ends. So the energy and its first
    two derivatives are continuous where pairs cross the cutoff, and where k-vectors come
    and go with the cell.
    """

    def __init__(self, cutoff: float, accuracy: float) -> None:
        super().__init__(cutoff, accuracy)
        window = cosine_window(accuracy)
        coefficients, nodes, weights = window.coefficients, window.nodes, window.weights
        self.largest_k = window.bandwidth / cutoff
        orders = math.pi * torch.arange(1, len(coefficients), dtype=torch.float64)
        powers = powers_of_cosine(2 * coefficients[1:] / orders)
        self.register_buffer("powers", powers, persistent=False)
        self.register_buffer("nodes", cutoff * nodes, persistent=False)
        self.register_buffer("weights", 4 * math.pi * weights, persistent=False)
        self.smearing = cutoff * math.sqrt(float(weights @ nodes**2))
        self.self_potential = 2 * float(coefficients.sum()) / cutoff
        self.mesh_error = 1e-3

    def pairs(self, distances: torch.Tensor) -> torch.Tensor:
        """See :class:`Split`."""
        phases = distances * (math.pi / self.cutoff)
        cosines, powers = torch.cos(phases), self.powers.to(distances.dtype)
        sums = powers[-1]
        for n in range(powers.shape[0] - 2, -1, -1):
            sums = torch.addcmul(powers[n], sums, cosines)
        kernel = (1 - distances / self.cutoff - torch.sin(phases) * sums) / distances
        return kernel.masked_fill(distances >= self.cutoff, 0.0)

    def waves(self, k_squared: torch.Tensor) -> torch.Tensor:
        """See :class:`Split`."""
        phases = k_squared.sqrt().unsqueeze(-1) * self.nodes.to(k_squared.dtype)
        factors = torch.cos(phases) @ self.weights.to(k_squared.dtype) / k_squared
        return factors.masked_fill(k_squared >= self.largest_k**2, 0.0)

    def radius(self, spacing: float) -> float:
        """See :class:`Split`. The same for all cells."""
        return self.largest_k

    @torch.jit.export
    def real_space_error(self, spacing: float) -> float:
        """None."""
        return 0.0
