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

from .cells import inverse_cells
from .periodicity import Lattices
from .splitting import Split


# Times of a pair, and of all that does not grow with their number, over the time of an
# atom and a k-vector for a column of charges (`benchmarks/sparse.py`). The first one is
# twice the measured one: dense systems are far from the transition.
PAIR, FIXED = 100.0, 4e4
# How fast the range grows with the volume
POWER = 2.0
# Atoms of a system whose pairs take memory that most machines have: 10 GiB in an exported
# model, which keeps all arrays
MOST_ATOMS = 8192


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
        self.most_atoms = MOST_ATOMS
        self.pair, self.fixed, self.power = PAIR, FIXED, POWER
        # k-vectors of a unit of volume, of one half of all
        self.waves = split.radius(0.5 * split.cutoff) ** 3 / (12 * math.pi**2)

    def forward(self, lattices: Lattices, work: float, most_atoms: float) -> list[float]:
        """The scale of each system; 1 for open ones.

        :param work: of an atom and a k-vector for all columns, over that for one column
        :param most_atoms: beyond so many, the work does not grow further with the atoms,
            as a mesh is used
        """
        scales: list[float] = []
        heights: list[float] = cell_heights(lattices.cells).tolist()
        for system, count in enumerate(lattices.num_atoms):
            scale = 1.0
            is_periodic = lattices.num_periodic[system] > 0
            if self.is_free and is_periodic and 0 < count <= self.most_atoms:
                pairs = self.pair * count * count + self.fixed
                least = pairs / (min(float(count), most_atoms) * work * self.waves)
                widest = max(1.0, heights[system] / (2 * self.cutoff))
                wanted = max(1.0, (lattices.volumes[system] / least) ** self.power)
                scale = min(wanted, widest)
            scales.append(scale)
        return scales


def cell_heights(cells: torch.Tensor) -> torch.Tensor:
    """Smallest distance between opposite faces of each cell, ``[S]``."""
    return 1 / torch.linalg.vector_norm(inverse_cells(cells), dim=1).amax(1)


def in_units(lattices: Lattices, scales: list[float]) -> Lattices:
    """The same systems, each in a unit of length of its own."""
    units = torch.tensor(scales, dtype=lattices.cells.dtype)[:, None, None]
    volumes = [volume / scale**3 for volume, scale in zip(lattices.volumes, scales)]
    return Lattices(
        lattices.num_atoms, lattices.num_periodic, volumes, lattices.cells / units
    )
