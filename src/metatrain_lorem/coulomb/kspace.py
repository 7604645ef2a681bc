"""Reciprocal-space part of the Ewald sum, by matrix products."""

import math

import torch
from torch.utils.checkpoint import checkpoint

from ..ops.budget import MEMORY
from .cells import Cells
from .kvectors import KVectors, squared_lengths
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
        cells: Cells,
        kvectors: KVectors,
    ) -> torch.Tensor:
        """Potentials of ``B`` systems, padded to ``N`` atoms by charges of zero.

        :param positions: ``[B, N, 3]``
        :param charges: ``[B, N, C]``
        :param cells: those of the ``B`` systems
        :param kvectors: those to sum
        :return: ``[B, N, C]``
        """
        fractional = positions @ cells.inverses
        # Shifts by whole lattice vectors keep the phases small and their digits valid.
        turns = 2 * math.pi * (fractional - torch.floor(fractional.detach()))
        reciprocal = 2 * math.pi * cells.inverses.transpose(1, 2)

        num_systems, num_atoms = charges.shape[0], charges.shape[1]
        num_planes, num_steps = kvectors.planes.shape[0], kvectors.highest + 1
        row = num_systems * (3 * num_atoms + 12 * num_steps * charges.shape[2])
        chunk_size = max(1, self.memory // (2 * charges.element_size() * row))
        phases = turns[:, :, 2:] * kvectors.powers[1, 0].to(turns.dtype)
        waves = torch.cat([torch.cos(phases), torch.sin(phases)], dim=2)  # [B, N, T]
        sources = (waves.unsqueeze(3) * charges.unsqueeze(2)).flatten(2)  # [B, N, TC]
        parts: list[torch.Tensor] = []
        for start in range(0, num_planes, chunk_size):
            chunk = part_of(kvectors, start, start + chunk_size)
            if torch.jit.is_scripting() or chunk_size >= num_planes:
                part = self.part(turns, sources, reciprocal, chunk)
            else:
                # The arrays of a chunk are computed again in the backward pass.
                part = checkpoint(
                    self.part,
                    *(turns, sources, reciprocal, chunk),
                    use_reentrant=False,
                )
            parts = [part] if start == 0 else [parts[0] + part]
        shape = [num_systems, num_atoms, waves.shape[2], charges.shape[2]]
        sums = torch.zeros_like(sources) if len(parts) == 0 else parts[0]
        potentials = (sums.reshape(shape) * waves.unsqueeze(3)).sum(2)
        return potentials / (0.5 * cells.volumes)[:, None, None]

    def part(
        self,
        turns: torch.Tensor,
        sources: torch.Tensor,
        reciprocal: torch.Tensor,
        kvectors: KVectors,
    ) -> torch.Tensor:
        r"""The sum over some ``(n1, n2)`` and all ``n3``.

        With the phases :math:`p = (n_1 b_1 + n_2 b_2) r` and :math:`t = n_3 b_3 r`, sums
        over atoms of :math:`q \cos p \cos t`, :math:`q \sin p \sin t`, ... are the moments
        :math:`M_{cc}, M_{ss}, M_{cs}, M_{sc}`. The k-vectors of :math:`+n_3` and
        :math:`-n_3` together give the potential

        .. math::

            [(g_+ + g_-) M_{cc} + (g_- - g_+) M_{ss}] \cos p \cos t + \ldots

        :param turns: fractional coordinates times 2 pi, ``[B, N, 3]``
        :param sources: charges times waves along the third axis ``[B, N, TC]``, with
            ``T/2`` cosines, then as many sines
        :param reciprocal: reciprocal lattice vectors as rows, with 2 pi, ``[B, 3, 3]``
        :param kvectors: those to sum
        :return: factors of the waves along the third axis, at each atom, times half of the
            volume, ``[B, N, TC]``
        """
        n = kvectors.planes.to(turns.dtype)
        phases = n @ turns[:, :, :2].transpose(1, 2)  # [B, p, N]
        waves = torch.cat([torch.cos(phases), torch.sin(phases)], dim=1)
        # No wave so short is in any sum.
        squares = squared_lengths(kvectors, reciprocal).masked_fill(kvectors.unused, 1e30)
        above, below = self.split.waves(squares).unbind(2)
        even, odd = above + below, below - above  # [B, p, T/2]
        minus = -odd
        odd = torch.stack([odd, minus, minus, odd], dim=1)

        moments = torch.bmm(waves, sources)
        shape = [n.shape[0], kvectors.highest + 1]
        moments = moments.reshape([moments.shape[0], 2, shape[0], 2, shape[1], -1])
        odd = odd.reshape([odd.shape[0], 2, 2] + shape).transpose(2, 3)
        factors = even[:, None, :, None, :, None] * moments
        factors = factors + odd.unsqueeze(5) * moments.flip([1, 3])
        return torch.bmm(waves.transpose(1, 2), factors.flatten(1, 2).flatten(2))


def part_of(kvectors: KVectors, start: int, stop: int) -> KVectors:
    """Some of the lines of k-vectors."""
    return KVectors(
        kvectors.planes[start:stop],
        kvectors.first[:, start:stop],
        kvectors.last[:, start:stop],
        kvectors.highest,
        kvectors.unused[:, start:stop],
        kvectors.forms[start:stop],
        kvectors.powers,
    )
