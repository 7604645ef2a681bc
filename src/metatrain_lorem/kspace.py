"""Reciprocal-space part of the Ewald sum, by matrix products."""

import math

import torch
from torch.utils.checkpoint import checkpoint


class ReciprocalSum(torch.nn.Module):
    r"""Potentials of smeared charges in periodic systems, without the term k = 0.

    .. math::

        v_i = \frac{2}{V} \sum_{k > 0} \frac{4 \pi}{k^2} e^{-\sigma^2 k^2 / 2}
        \left[ \cos(k r_i) \sum_j q_j \cos(k r_j) + \sin(k r_i) \sum_j q_j \sin(k r_j)
        \right]

    over one half of all k-vectors, up to the length at which the exponential falls to
    the wanted accuracy. All columns of charges share the trigonometric functions, and
    each sum is a matrix product.

    :param smearing: width :math:`\sigma` of the Gaussian charges
    :param accuracy: size of the largest neglected exponential
    :param reference_wavelength: if not zero, sum instead over the box of the reference
        code: ``ceil(|a| / reference_wavelength)`` frequencies along each lattice vector
    :param memory: bytes that the working arrays may take
    """

    def __init__(
        self,
        smearing: float,
        accuracy: float,
        reference_wavelength: float,
        memory: int,
    ) -> None:
        super().__init__()
        self.smearing = smearing
        self.radius = math.sqrt(-2 * math.log(accuracy)) / smearing
        self.reference_wavelength = reference_wavelength
        self.memory = memory

    def box_sizes(self, cells: torch.Tensor) -> torch.Tensor:
        """Largest index of the k-vectors along each reciprocal vector, ``[S, 3]``."""
        if self.reference_wavelength > 0:
            return torch.div(self._frequencies(cells), 2, rounding_mode="floor")
        lengths = torch.linalg.vector_norm(cells.detach(), dim=2)
        return torch.floor(lengths * (self.radius / (2 * math.pi))).to(torch.int64)

    def forward(
        self,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cells: torch.Tensor,
        box_size: list[int],
    ) -> torch.Tensor:
        """Potentials of ``B`` systems, padded to ``N`` atoms by charges of zero.

        :param positions: ``[B, N, 3]``
        :param charges: ``[B, N, C]``
        :param cells: ``[B, 3, 3]``
        :param box_size: largest index along each axis that any of the systems needs
        :return: ``[B, N, C]``
        """
        n, used = self._half_space(cells, box_size)
        inverse = torch.linalg.inv(cells)
        fractional = positions @ inverse
        # Shifts by whole lattice vectors keep the phases small and their digits valid.
        fractional = fractional - torch.floor(fractional.detach())

        bytes_per_k = 8 * fractional.element_size() * fractional[:, :, 0].numel()
        chunk_size = max(1, self.memory // bytes_per_k)
        potentials = torch.zeros_like(charges)
        for start in range(0, n.shape[0], chunk_size):
            chunk = n[start : start + chunk_size]
            mask = used[:, start : start + chunk_size]
            sigma = self.smearing
            if torch.jit.is_scripting() or chunk_size >= n.shape[0]:
                part = sum_over_k(fractional, charges, inverse, chunk, mask, sigma)
            else:
                # The arrays of a chunk are computed again in the backward pass.
                part = checkpoint(
                    sum_over_k,
                    *(fractional, charges, inverse, chunk, mask, sigma),
                    use_reentrant=False,
                )
            potentials = potentials + part
        return potentials

    def _half_space(
        self, cells: torch.Tensor, box_size: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Integer k-vectors ``[k, 3]``, and which of them each system sums ``[B, k]``."""
        device = cells.device
        n = torch.cartesian_prod(
            torch.arange(0, box_size[0] + 1, device=device),
            torch.arange(-box_size[1], box_size[1] + 1, device=device),
            torch.arange(-box_size[2], box_size[2] + 1, device=device),
        )
        # With the first index not negative, the lower half of n1 = 0 comes first.
        n = n[(2 * box_size[1] + 1) * (2 * box_size[2] + 1) // 2 + 1 :]
        if self.reference_wavelength > 0:
            frequencies = self._frequencies(cells).unsqueeze(1)  # [B, 1, 3]
            lowest = -torch.div(frequencies, 2, rounding_mode="floor")
            highest = torch.div(frequencies - 1, 2, rounding_mode="floor")
            # The leading index that is not zero must be positive and below Nyquist.
            used = ((n >= lowest) & (n <= highest)).all(2)
        else:
            reciprocal = 2 * math.pi * torch.linalg.inv(cells.detach()).transpose(1, 2)
            k = n.to(cells.dtype) @ reciprocal  # [B, k, 3]
            used = (k * k).sum(2) <= self.radius * self.radius
        needed = used.any(0)
        return n[needed], used[:, needed]

    def _frequencies(self, cells: torch.Tensor) -> torch.Tensor:
        """Numbers of frequencies along each lattice vector in the reference code."""
        lengths = torch.linalg.vector_norm(cells.detach(), dim=2)
        return torch.ceil(lengths / self.reference_wavelength).to(torch.int64)


def sum_over_k(
    fractional: torch.Tensor,
    charges: torch.Tensor,
    inverse: torch.Tensor,
    n: torch.Tensor,
    used: torch.Tensor,
    smearing: float,
) -> torch.Tensor:
    """The sum of :class:`ReciprocalSum` over given k-vectors.

    :param fractional: fractional coordinates ``[B, N, 3]``
    :param charges: ``[B, N, C]``
    :param inverse: inverse cells ``[B, 3, 3]``
    :param n: integer k-vectors ``[k, 3]``
    :param used: which of them each system sums ``[B, k]``
    :param smearing: width of the Gaussian charges
    :return: ``[B, N, C]``
    """
    n = n.to(fractional.dtype)
    k = n @ (2 * math.pi * inverse.transpose(1, 2))  # [B, k, 3]
    squared = (k * k).sum(2)
    kernel = torch.exp(-0.5 * smearing**2 * squared) / squared * used
    kernel = kernel * (8 * math.pi * torch.abs(torch.linalg.det(inverse))).unsqueeze(1)
    phases = (2 * math.pi * n) @ fractional.transpose(1, 2)  # [B, k, N]
    potentials = torch.zeros_like(charges)
    for wave in (torch.cos(phases), torch.sin(phases)):
        structure_factors = kernel.unsqueeze(2) * torch.bmm(wave, charges)
        potentials = potentials + torch.bmm(wave.transpose(1, 2), structure_factors)
    return potentials
