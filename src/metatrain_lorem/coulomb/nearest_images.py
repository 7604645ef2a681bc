"""Real-space part of sparse systems: each atom and the nearest image of all others."""

import torch

from ..ops.budget import MEMORY
from .all_pairs import AllPairs, apart
from .cells import Cells
from .splitting import Split


class NearestImages(AllPairs):
    r"""The kernel of pairs, summed over all pairs of a system.

    Fractional differences are rounded: the image with all of them within :math:`\pm 1/2`
    is the only one within half the smallest distance of opposite faces, in cells of any
    shape. So far may the cutoff reach.

    :param split: with the kernel of pairs
    :param memory: bytes that the working arrays may take
    """

    def __init__(self, split: Split, memory: int = MEMORY) -> None:
        super().__init__(40, memory)
        self.split = split

    def forward(
        self, positions: torch.Tensor, charges: torch.Tensor, cells: Cells
    ) -> torch.Tensor:
        """Potentials of ``B`` systems, not halved.

        :param positions: ``[B, N, 3]``
        :param charges: ``[B, N, C]``, zero for padding
        :param cells: those of the ``B`` systems
        :return: ``[B, N, C]``
        """
        fractional = positions.detach() @ cells.inverses.detach()
        atoms = torch.stack([positions, fractional], dim=2)  # [B, N, 2, 3]
        return self.all_rows(atoms, [atoms, cells.vectors, charges])

    def rows(
        self, atoms: torch.Tensor, others: list[torch.Tensor], start: int
    ) -> torch.Tensor:
        """See :class:`.AllPairs`.

        :param atoms: ``[B, n, 2, 3]``, Cartesian and fractional coordinates
        """
        others_atoms, cells, charges = others[0], others[1], others[2]
        left = atoms.permute(2, 0, 3, 1).unsqueeze(4)
        right = others_atoms.permute(2, 0, 3, 1).unsqueeze(3)
        whole = (right[1] - left[1]).detach().round_()  # [B, 3, n, N]
        vectors = (right[0] - left[0]).flatten(2)
        matrices = cells.transpose(1, 2)
        vectors = torch.baddbmm(vectors, matrices, whole.flatten(2), alpha=-1.0)
        # To itself, an atom is too far away.
        itself = self.split.cutoff**2
        squares = (vectors * vectors).sum(1).reshape(whole[:, 0].shape)
        squares = apart(squares, start, itself)
        return torch.bmm(self.split.pairs(squares.sqrt()), charges)
