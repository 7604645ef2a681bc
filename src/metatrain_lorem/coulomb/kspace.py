"""Reciprocal-space part of the Ewald sum, by matrix products."""

import math

import torch
from torch.utils.checkpoint import checkpoint

from ..ops.budget import MEMORY
from .cells import cell_volumes, inverse_cells
from .kvectors import KVectors
from .splitting import Split


class ReciprocalSum(torch.nn.Module):
    r"""Potentials of smeared charges in periodic systems, without the term k = 0.

    .. math::

        v_i = \frac{2}{V} \sum_{k > 0} \frac{4 \pi}{k^2} \hat w(k)
        \sum_j q_j \cos(k (r_i - r_j))

    over one half of all k-vectors. With :math:`k = n_1 b_1 + n_2 b_2 + n_3 b_3`, waves
    are products of a plane wave of :math:`(n_1, n_2)` and one of :math:`n_3`, so that
    the sums over atoms and k-vectors are two products of small matrices, for all
    columns of charges together: no array has a row for each atom *and* k-vector.

    :param split: with the factors :math:`4 \pi \hat w(k) / k^2`
    :param memory: bytes that the working arrays may take
    """

    def __init__(self, split: Split, memory: int = MEMORY) -> None:
        super().__init__()
        self.split = split
        self.memory = memory

    def forward(
        self,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cells: torch.Tensor,
        kvectors: KVectors,
    ) -> torch.Tensor:
        """Potentials of ``B`` systems, padded to ``N`` atoms by charges of zero.

        :param positions: ``[B, N, 3]``
        :param charges: ``[B, N, C]``
        :param cells: ``[B, 3, 3]``
        :param kvectors: those to sum
        :return: ``[B, N, C]``
        """
        inverse = inverse_cells(cells)
        fractional = positions @ inverse
        # Shifts by whole lattice vectors keep the phases small and their digits valid.
        fractional = fractional - torch.floor(fractional.detach())
        reciprocal = 2 * math.pi * inverse.transpose(1, 2)

        num_systems, num_atoms = charges.shape[0], charges.shape[1]
        num_planes, num_steps = kvectors.planes.shape[0], kvectors.highest + 1
        row = num_systems * (3 * num_atoms + 12 * num_steps * charges.shape[2])
        chunk_size = max(1, self.memory // (2 * charges.element_size() * row))
        axis = torch.arange(num_steps, device=cells.device, dtype=cells.dtype)
        phases = 2 * math.pi * fractional[:, :, 2:] * axis
        waves = torch.cat([torch.cos(phases), torch.sin(phases)], dim=2)  # [B, N, T]
        sources = (waves.unsqueeze(3) * charges.unsqueeze(2)).flatten(2)  # [B, N, TC]
        sums = torch.zeros_like(sources)
        for start in range(0, num_planes, chunk_size):
            chunk = part_of(kvectors, start, start + chunk_size)
            if torch.jit.is_scripting() or chunk_size >= num_planes:
                part = self.part(fractional, sources, reciprocal, chunk, axis)
            else:
                # The arrays of a chunk are computed again in the backward pass.
                part = checkpoint(
                    self.part,
                    *(fractional, sources, reciprocal, chunk, axis),
                    use_reentrant=False,
                )
            sums = sums + part
        sums = sums.reshape(num_systems, num_atoms, waves.shape[2], charges.shape[2])
        return (sums * waves.unsqueeze(3)).sum(2)

    def part(
        self,
        fractional: torch.Tensor,
        sources: torch.Tensor,
        reciprocal: torch.Tensor,
        kvectors: KVectors,
        axis: torch.Tensor,
    ) -> torch.Tensor:
        r"""The sum over some ``(n1, n2)`` and all ``n3``.

        With the phases :math:`p = (n_1 b_1 + n_2 b_2) r` and :math:`t = n_3 b_3 r`, sums
        over atoms of :math:`q \cos p \cos t`, :math:`q \sin p \sin t`, ... are the moments
        :math:`M_{cc}, M_{ss}, M_{cs}, M_{sc}`. The k-vectors of :math:`+n_3` and
        :math:`-n_3` together give the potential

        .. math::

            [(g_+ + g_-) M_{cc} + (g_- - g_+) M_{ss}] \cos p \cos t + \ldots

        :param fractional: fractional coordinates ``[B, N, 3]``
        :param sources: charges times waves along the third axis ``[B, N, TC]``, with
            ``T/2`` cosines, then as many sines
        :param reciprocal: reciprocal lattice vectors as rows, with 2 pi, ``[B, 3, 3]``
        :param kvectors: those to sum
        :param axis: ``n3 = 0, 1, ...``, ``[T/2]``
        :return: factors of the waves along the third axis, at each atom, ``[B, N, TC]``
        """
        n = kvectors.planes.to(fractional.dtype)
        phases = (2 * math.pi * n) @ fractional[:, :, :2].transpose(1, 2)  # [B, p, N]
        waves = torch.cat([torch.cos(phases), torch.sin(phases)], dim=1)
        above, below = self.factors(reciprocal, kvectors, axis)
        even, odd = above + below, below - above  # [B, p, T/2]
        odd = torch.stack([odd, -odd, -odd, odd], dim=1)

        moments = torch.bmm(waves, sources)
        shape = [n.shape[0], axis.shape[0]]
        moments = moments.reshape([moments.shape[0], 2, shape[0], 2, shape[1], -1])
        odd = odd.reshape([odd.shape[0], 2, 2] + shape).transpose(2, 3)
        factors = even[:, None, :, None, :, None] * moments
        factors = factors + odd.unsqueeze(5) * moments.flip([1, 3])
        return torch.bmm(waves.transpose(1, 2), factors.flatten(1, 2).flatten(2))

    def factors(
        self,
        reciprocal: torch.Tensor,
        kvectors: KVectors,
        axis: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        r"""Factors :math:`8 \pi \hat w(k) / V k^2` of summed k-vectors, or 0.

        :return: for ``(n1, n2, n3)`` and for ``(n1, n2, -n3)``, each ``[B, p, T/2]``
        """
        volumes = (2 * math.pi) ** 3 / cell_volumes(reciprocal)
        in_plane = kvectors.planes.to(reciprocal.dtype) @ reciprocal[:, :2]  # [B, p, 3]
        third = reciprocal[:, 2]
        squares = (in_plane * in_plane).sum(2).unsqueeze(2)
        squares = squares + (third * third).sum(1)[:, None, None] * axis * axis
        mixed = 2 * (in_plane @ third.unsqueeze(2)) * axis

        first, last = kvectors.first.unsqueeze(2), kvectors.last.unsqueeze(2)
        above = (axis >= first) & (axis <= last)
        below = (-axis >= first) & (-axis <= last) & (axis > 0)
        used = torch.stack([above, below], dim=1)  # [B, 2, p, T/2]
        k_squared = torch.stack([squares + mixed, squares - mixed], dim=1)
        k_squared = torch.where(used, k_squared, 1.0)
        factors = self.split.waves(k_squared) * used
        factors = factors * (2 / volumes)[:, None, None, None]
        plus, minus = factors.unbind(1)
        return plus, minus


def part_of(kvectors: KVectors, start: int, stop: int) -> KVectors:
    """Some of the lines of k-vectors."""
    return KVectors(
        kvectors.planes[start:stop],
        kvectors.first[:, start:stop],
        kvectors.last[:, start:stop],
        kvectors.highest,
    )
