"""Reciprocal-space part of the Ewald sum, by matrix products."""

import math

import torch
from torch.utils.checkpoint import checkpoint

from .cells import cell_volumes, inverse_cells
from .truncation import reciprocal_radius


class ReciprocalSum(torch.nn.Module):
    r"""Potentials of smeared charges in periodic systems, without the term k = 0.

    .. math::

        v_i = \frac{2}{V} \sum_{k > 0} \frac{4 \pi}{k^2} e^{-\sigma^2 k^2 / 2}
        \sum_j q_j \cos(k (r_i - r_j))

    over one half of all k-vectors. With :math:`k = n_1 b_1 + n_2 b_2 + n_3 b_3`, waves
    are products of a plane wave of :math:`(n_1, n_2)` and one of :math:`n_3`, so that
    the sums over atoms and k-vectors are two products of small matrices, for all
    columns of charges together: no array has a row for each atom *and* k-vector.

    :param smearing: width :math:`\sigma` of the Gaussian charges
    :param accuracy: relative error of potentials and forces, which sets the radius of
        the sphere of k-vectors (:func:`.truncation.reciprocal_radius`)
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
        self.accuracy = accuracy
        self.reference_wavelength = reference_wavelength
        self.memory = memory

    def radius(self, volume: float, num_atoms: int) -> float:
        """Radius of the sphere of k-vectors of a system."""
        spacing = (volume / max(num_atoms, 1)) ** (1 / 3)
        return reciprocal_radius(spacing, self.smearing, self.accuracy)

    def box_sizes(self, cells: torch.Tensor, radii: list[float]) -> list[list[int]]:
        """Largest index of the k-vectors of each system along each reciprocal vector.

        :param cells: ``[S, 3, 3]``
        :param radii: radii of the spheres of k-vectors
        """
        if self.reference_wavelength > 0:
            half = torch.div(self._frequencies(cells), 2, rounding_mode="floor")
            frequencies: list[list[int]] = half.tolist()
            return frequencies
        lengths: list[list[float]] = _lengths(cells).tolist()
        sizes: list[list[int]] = []
        for radius, of_system in zip(radii, lengths):
            sizes.append([int(length * radius / (2 * math.pi)) for length in of_system])
        return sizes

    def select(
        self, cells: torch.Tensor, radii: list[float], box_size: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The k-vectors of ``B`` systems.

        :param cells: ``[B, 3, 3]``
        :param radii: radii of the spheres of k-vectors
        :param box_size: largest index along each axis that any of the systems needs
        :return: half of all ``(n1, n2)``, zero first, ``[p, 2]``; squared radius, lowest
            and highest indices of each system, ``[B, 7]``
        """
        limits = torch.tensor(radii, dtype=cells.dtype, device=cells.device)
        reciprocal = 2 * math.pi * inverse_cells(cells).transpose(1, 2)
        return self._planes(reciprocal, limits, box_size), self._bounds(cells, limits)

    def forward(
        self,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cells: torch.Tensor,
        planes: torch.Tensor,
        bounds: torch.Tensor,
        highest: int,
    ) -> torch.Tensor:
        """Potentials of ``B`` systems, padded to ``N`` atoms by charges of zero.

        :param positions: ``[B, N, 3]``
        :param charges: ``[B, N, C]``
        :param cells: ``[B, 3, 3]``
        :param planes: ``(n1, n2)`` of the k-vectors, from :meth:`select`
        :param bounds: bounds of the k-vectors, from :meth:`select`
        :param highest: largest index along the third axis
        :return: ``[B, N, C]``
        """
        inverse = inverse_cells(cells)
        fractional = positions @ inverse
        # Shifts by whole lattice vectors keep the phases small and their digits valid.
        fractional = fractional - torch.floor(fractional.detach())
        reciprocal = 2 * math.pi * inverse.transpose(1, 2)

        num_systems, num_atoms = charges.shape[0], charges.shape[1]
        row = num_systems * (3 * num_atoms + 12 * (highest + 1) * charges.shape[2])
        chunk_size = max(1, self.memory // (2 * charges.element_size() * row))
        axis = torch.arange(highest + 1, device=cells.device, dtype=cells.dtype)
        phases = 2 * math.pi * fractional[:, :, 2:] * axis
        waves = torch.cat([torch.cos(phases), torch.sin(phases)], dim=2)  # [B, N, T]
        sources = (waves.unsqueeze(3) * charges.unsqueeze(2)).flatten(2)  # [B, N, TC]
        sums = torch.zeros_like(sources)
        for start in range(0, planes.shape[0], chunk_size):
            chunk = planes[start : start + chunk_size]
            if torch.jit.is_scripting() or chunk_size >= planes.shape[0]:
                part = sum_over_k(
                    fractional, sources, reciprocal, chunk, bounds, axis, self.smearing
                )
            else:
                # The arrays of a chunk are computed again in the backward pass.
                part = checkpoint(
                    sum_over_k,
                    *(fractional, sources, reciprocal, chunk, bounds, axis),
                    self.smearing,
                    use_reentrant=False,
                )
            sums = sums + part
        sums = sums.reshape(num_systems, num_atoms, waves.shape[2], charges.shape[2])
        return (sums * waves.unsqueeze(3)).sum(2)

    def _planes(
        self, reciprocal: torch.Tensor, radii: torch.Tensor, box_size: list[int]
    ) -> torch.Tensor:
        """Half of all ``(n1, n2)`` with k-vectors in any sphere, ``[p, 2]``."""
        device = reciprocal.device
        planes = torch.cartesian_prod(
            torch.arange(0, box_size[0] + 1, device=device),
            torch.arange(-box_size[1], box_size[1] + 1, device=device),
        )[box_size[1] :]
        if self.reference_wavelength > 0:
            return planes
        axis = reciprocal[:, 2:]
        axis = axis / torch.linalg.vector_norm(axis, dim=2, keepdim=True)
        k = planes.to(reciprocal.dtype) @ reciprocal[:, :2]  # [B, p, 3]
        k = k - (k * axis).sum(2, keepdim=True) * axis
        needed = (k * k).sum(2) <= 1.000001 * (radii * radii).unsqueeze(1)
        return planes[needed.any(0)]

    def _bounds(self, cells: torch.Tensor, radii: torch.Tensor) -> torch.Tensor:
        """Squared radius, lowest and highest indices of each system, ``[B, 7]``."""
        if self.reference_wavelength > 0:
            frequencies = self._frequencies(cells).to(cells.dtype)
            lowest = -torch.floor(frequencies / 2)
            # The leading index that is not zero must be positive and below Nyquist.
            highest = torch.floor((frequencies - 1) / 2)
            squares = torch.full_like(radii, math.inf).unsqueeze(1)
        else:
            lowest = torch.full_like(cells[:, 0], -math.inf)
            highest = -lowest
            squares = (radii * radii).unsqueeze(1)
        return torch.cat([squares, lowest, highest], dim=1)

    def _frequencies(self, cells: torch.Tensor) -> torch.Tensor:
        """Numbers of frequencies along each lattice vector in the reference code."""
        return torch.ceil(_lengths(cells) / self.reference_wavelength).to(torch.int64)


def _lengths(cells: torch.Tensor) -> torch.Tensor:
    """Lengths of the lattice vectors, ``[S, 3]``."""
    return torch.linalg.vector_norm(cells, dim=2)


def sum_over_k(
    fractional: torch.Tensor,
    sources: torch.Tensor,
    reciprocal: torch.Tensor,
    planes: torch.Tensor,
    bounds: torch.Tensor,
    axis: torch.Tensor,
    smearing: float,
) -> torch.Tensor:
    r"""The sum of :class:`ReciprocalSum` over some ``(n1, n2)`` and all ``n3``.

    With the phases :math:`p = (n_1 b_1 + n_2 b_2) r` and :math:`t = n_3 b_3 r`, sums
    over atoms of :math:`q \cos p \cos t`, :math:`q \sin p \sin t`, ... are the moments
    :math:`M_{cc}, M_{ss}, M_{cs}, M_{sc}`. The k-vectors of :math:`+n_3` and
    :math:`-n_3` together give the potential

    .. math::

        [(g_+ + g_-) M_{cc} + (g_- - g_+) M_{ss}] \cos p \cos t + \ldots

    :param fractional: fractional coordinates ``[B, N, 3]``
    :param sources: charges times waves along the third axis ``[B, N, TC]``, with ``T/2``
        cosines, then as many sines
    :param reciprocal: reciprocal lattice vectors as rows, with 2 pi, ``[B, 3, 3]``
    :param planes: ``(n1, n2)``, ``[p, 2]``
    :param bounds: which k-vectors to sum, from ``ReciprocalSum``, ``[B, 7]``
    :param axis: ``n3 = 0, 1, ...``, ``[T/2]``
    :param smearing: width of the Gaussian charges
    :return: factors of the waves along the third axis, at each atom, ``[B, N, TC]``
    """
    n = planes.to(fractional.dtype)
    phases = (2 * math.pi * n) @ fractional[:, :, :2].transpose(1, 2)  # [B, p, N]
    waves = torch.cat([torch.cos(phases), torch.sin(phases)], dim=1)
    above, below = kernels(reciprocal, n, bounds, axis, smearing)
    even, odd = above + below, below - above  # [B, p, T/2]
    odd = torch.stack([odd, -odd, -odd, odd], dim=1)

    moments = torch.bmm(waves, sources)
    shape = [n.shape[0], axis.shape[0]]
    moments = moments.reshape([moments.shape[0], 2, shape[0], 2, shape[1], -1])
    odd = odd.reshape([odd.shape[0], 2, 2] + shape).transpose(2, 3)
    factors = even[:, None, :, None, :, None] * moments
    factors = factors + odd.unsqueeze(5) * moments.flip([1, 3])
    return torch.bmm(waves.transpose(1, 2), factors.flatten(1, 2).flatten(2))


def kernels(
    reciprocal: torch.Tensor,
    planes: torch.Tensor,
    bounds: torch.Tensor,
    axis: torch.Tensor,
    smearing: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Factors :math:`8 \pi / V k^2 \, e^{-\sigma^2 k^2 / 2}` of summed k-vectors, or 0.

    :return: for ``(n1, n2, n3)`` and for ``(n1, n2, -n3)``, each ``[B, p, T/2]``
    """
    volumes = (2 * math.pi) ** 3 / cell_volumes(reciprocal)
    in_plane = planes @ reciprocal[:, :2]  # [B, p, 3]
    third = reciprocal[:, 2]
    squares = (in_plane * in_plane).sum(2).unsqueeze(2)
    squares = squares + (third * third).sum(1)[:, None, None] * axis * axis
    mixed = 2 * (in_plane @ third.unsqueeze(2)) * axis

    low, high = bounds[:, None, 1:4], bounds[:, None, 4:7]
    inside = ((planes >= low[:, :, :2]) & (planes <= high[:, :, :2])).all(2)
    above = inside.unsqueeze(2) & (axis <= high[:, :, 2:])
    below = inside.unsqueeze(2) & (-axis >= low[:, :, 2:]) & (axis > 0)
    # Along the third axis itself, one of n3 and -n3; and never k = 0.
    is_plane = (planes != 0).any(1).unsqueeze(1)
    used = torch.stack([above & (is_plane | (axis > 0)), below & is_plane], dim=1)
    k_squared = torch.stack([squares + mixed, squares - mixed], dim=1)  # [B, 2, p, T/2]
    used = used & (k_squared.detach() <= bounds[:, None, None, :1])
    k_squared = torch.where(used, k_squared, 1.0)
    factors = torch.exp(-0.5 * smearing**2 * k_squared) / k_squared
    factors = factors * used * (8 * math.pi / volumes)[:, None, None, None]
    plus, minus = factors.unbind(1)
    return plus, minus
