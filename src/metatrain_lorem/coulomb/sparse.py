r"""Systems much larger than the cutoff: fewer k-vectors, for a sum over all pairs.

The number of k-vectors grows like the volume over the cube of the range :math:`R` of the
kernel of pairs. Where a system is sparse, such as molecules in vacuum, it is cheaper to
take a range beyond the cutoff, and to sum over all pairs instead of those within the
cutoff. The exact sum does not depend on :math:`R`. As it is homogeneous, all that is needed
is another unit of length, the *scale* :math:`s = R / r_c`: in this unit, the range is the
cutoff again.
"""

import math

import torch

from .periodicity import Lattices
from .splitting import Split


# Times of a pair, and of all that does not grow with their number, over the time of an
# atom and a k-vector for a column of charges. Above what `benchmarks/sparse.py` measures,
# the first one twice, the second until a molecule in 15 Angstrom is no slower: dense
# systems shall be far from the transition.
PAIR, FIXED = 330.0, 5e6
# Atoms whose waves take as much time as what a k-vector takes without atoms
OFFSET = 100.0
# How fast the range grows with the volume
POWER = 2.0
# Numbers that an exported model keeps of a pair
PAIR_NUMBERS = 21
# More atoms than this need the memory of a mesh rather than that of all pairs, 5 GiB, until
# a mesh of a 20 times larger volume takes as much
MANY_ATOMS, LARGER = 8192, 20.0
# More are never summed over all pairs: 200 GiB
MOST_ATOMS = 50_000


class LengthScale(torch.nn.Module):
    r"""The scale of each system, a continuous function of its volume and height.

    .. math::

        s = \min \left[ \max \left( 1, (V / V_0)^2 \right),
        \max \left( 1, h / 2 r_c \right) \right]

    with the smallest distance :math:`h` between opposite faces of the cell, and the volume
    :math:`V_0` at which all pairs cost as much as all k-vectors. :math:`V_0` depends on
    numbers only that do not change in a simulation, so that nothing is to be seen of the
    transition as a cell grows.

    :param split: which part of the potentials is summed
    :param is_free: whether its range may be chosen; if not, all scales are 1
    """

    def __init__(self, split: Split, is_free: bool) -> None:
        super().__init__()
        self.cutoff = split.cutoff
        self.is_free = is_free
        self.many_atoms, self.larger, self.most_atoms = MANY_ATOMS, LARGER, MOST_ATOMS
        self.pair, self.fixed, self.offset, self.power = PAIR, FIXED, OFFSET, POWER
        # k-vectors of a unit of volume, of one half of all
        self.waves = split.radius(0.5 * split.cutoff) ** 3 / (12 * math.pi**2)

    def forward(self, lattices: Lattices, work: float, mesh_atoms: float) -> list[float]:
        """The scale of each system; 1 for open ones.

        :param work: of an atom and a k-vector for all columns, over that for one column
        :param mesh_atoms: beyond so many, the work does not grow further with the atoms,
            as a mesh is used
        """
        if not self.is_free or len(lattices.num_atoms) == 0:
            return [1.0 for _ in lattices.num_atoms]
        scales: list[float] = []
        heights: list[float] = cell_heights(lattices.inverses).tolist()
        for system, height in enumerate(heights):
            least = self.least_volume(lattices.num_atoms[system], work, mesh_atoms)
            scale = 1.0
            if lattices.num_periodic[system] > 0:
                wanted = (lattices.volumes[system] / least) ** self.power
                scale = max(1.0, min(wanted, height / (2 * self.cutoff)))
            scales.append(scale)
        return scales

    def least_volume(self, num_atoms: int, work: float, mesh_atoms: float) -> float:
        """The volume from which on the scale grows; see :meth:`forward`."""
        if num_atoms == 0 or num_atoms > self.most_atoms:
            return math.inf
        pairs = self.pair * num_atoms * num_atoms + self.fixed
        atoms = min(float(num_atoms), mesh_atoms) + self.offset
        volume = pairs / (atoms * work * self.waves)
        return volume if num_atoms <= self.many_atoms else self.larger * volume


def cell_heights(inverses: torch.Tensor) -> torch.Tensor:
    """Smallest distance between opposite faces of each cell, ``[S]``.

    :param inverses: of the cells, whose columns are the normals over these distances
    """
    return torch.linalg.vector_norm(inverses, dim=1).amax(1).reciprocal()


def in_units(lattices: Lattices, scales: list[float]) -> Lattices:
    """The same systems, each in a unit of length of its own."""
    if len(scales) == 0 or max(scales) == 1:
        return lattices
    units = torch.tensor(scales, dtype=lattices.cells.dtype)[:, None, None]
    return Lattices(
        lattices.num_atoms,
        lattices.num_periodic,
        [volume / scale**3 for volume, scale in zip(lattices.volumes, scales)],
        [
            [length / scale for length in lengths]
            for lengths, scale in zip(lattices.lengths, scales)
        ],
        lattices.cells / units,
        lattices.inverses * units,
    )
