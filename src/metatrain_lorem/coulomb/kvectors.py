"""Which k-vectors to sum: those within a sphere, or within a box of frequencies.

k-vectors are :math:`n_1 b_1 + n_2 b_2 + n_3 b_3` with integers :math:`n` and reciprocal
lattice vectors :math:`b`. Of :math:`k` and :math:`-k` one is enough.
"""

import math
from typing import NamedTuple

import torch

from .periodicity import Lattices
from .splitting import Split
from .truncation import reciprocal_error


class KVectors(NamedTuple):
    """One half of the k-vectors of ``B`` systems, as ``p`` lines along the third axis.

    Never with k = 0. Lines that a system does not need are empty: ``first > last``.
    """

    planes: torch.Tensor  # [p, 2] (n1, n2) of each line
    first: torch.Tensor  # [B, p] lowest n3 of each system
    last: torch.Tensor  # [B, p] highest n3
    highest: int  # of all |n3|
    unused: torch.Tensor  # [B, p, 2, T] bool, for n3 = 0, 1, ... and for 0, -1, ...
    forms: torch.Tensor  # [p, 3, 9] see `squared_lengths`
    powers: torch.Tensor  # [3, 2, T] 1, n3 and n3^2


def quadratic_forms(planes: torch.Tensor) -> torch.Tensor:
    """Coefficients of 1, n3 and n3^2 in ``n G n``, as products with ``G``, ``[p, 3, 9]``.

    :param planes: ``[p, 2]``
    """
    forms = planes.new_zeros([planes.shape[0], 3, 3, 3])
    forms[:, 0, :2, :2] = planes.unsqueeze(2) * planes.unsqueeze(1)
    forms[:, 1, :2, 2] = 2 * planes
    forms[:, 2, 2, 2] = 1
    return forms.flatten(2)


def squared_lengths(kvectors: KVectors, reciprocal: torch.Tensor) -> torch.Tensor:
    """Squared lengths of k-vectors of both signs of n3, ``[B, p, 2, T]``.

    :param reciprocal: reciprocal lattice vectors as rows, with 2 pi, ``[B, 3, 3]``
    """
    metric = reciprocal @ reciprocal.transpose(1, 2)
    forms = kvectors.forms.to(metric.dtype).flatten(0, 1)  # [3 p, 9]
    lines = (metric.flatten(1) @ forms.T).unflatten(1, [-1, 3])  # [B, p, 3]
    squares = lines @ kvectors.powers.to(metric.dtype).flatten(1)
    return squares.unflatten(2, [2, -1])


class KSelector(torch.nn.Module):
    """What :class:`KSphere` and :class:`KBox` share."""

    def largest(self, lattices: Lattices) -> list[list[int]]:
        """Largest index of the k-vectors of each system along each axis."""
        raise NotImplementedError

    def lines(
        self, lattices: Lattices, planes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Lowest and highest ``n3`` for each ``(n1, n2)``, each ``[B, p]``.

        :param lattices: of ``B`` systems
        :param planes: ``[p, 2]``
        """
        raise NotImplementedError

    def error(self, spacing: float) -> float:
        """Estimated relative error, see :mod:`.truncation`.

        :param spacing: distance between atoms ``(V / N)**(1/3)``
        """
        raise NotImplementedError

    def select(self, lattices: Lattices, largest: list[int]) -> KVectors:
        """The k-vectors of ``B`` systems.

        :param largest: largest index along each axis that any of the systems needs
        """
        n1, n2 = largest[0], largest[1]
        planes = torch.cartesian_prod(torch.arange(n1 + 1), torch.arange(-n2, n2 + 1))
        planes = planes[n2:]  # of n1 = 0, one half
        first, last = self.lines(lattices, planes)
        # Of n1 = n2 = 0, too, without k = 0
        first[:, 0] = first[:, 0].clamp(min=1)
        needed = (first <= last).any(0)
        planes, first, last = planes[needed], first[:, needed], last[:, needed]
        axis = torch.arange(largest[2] + 1)
        axis = torch.stack([axis, -axis])  # [2, T]
        lines = axis.clone()
        lines[1, 0] = largest[2] + 1  # n3 = 0 only once
        unused = (lines < first[:, :, None, None]) | (lines > last[:, :, None, None])
        powers = axis.to(lattices.cells.dtype) ** torch.arange(3)[:, None, None]
        forms = quadratic_forms(planes).to(lattices.cells.dtype)
        return KVectors(planes, first, last, largest[2], unused, forms, powers)


class KSphere(KSelector):
    """All k-vectors within a sphere, whose radius follows from the wanted accuracy.

    :param split: which part of the potentials they sum
    """

    def __init__(self, split: Split) -> None:
        super().__init__()
        self.split = split

    def radii(self, lattices: Lattices) -> list[float]:
        """Radius of the sphere of each system."""
        radii: list[float] = []
        for volume, count in zip(lattices.volumes, lattices.num_atoms):
            spacing = (volume / max(count, 1)) ** (1 / 3)
            radii.append(self.split.radius(spacing))
        return radii

    def largest(self, lattices: Lattices) -> list[list[int]]:
        """See :class:`KSelector`."""
        largest: list[list[int]] = []
        for radius, of_system in zip(self.radii(lattices), lattices.lengths):
            largest.append([int(length * radius / (2 * math.pi)) for length in of_system])
        return largest

    def lines(
        self, lattices: Lattices, planes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`KSelector`."""
        cells = lattices.cells
        radii = torch.tensor(self.radii(lattices), dtype=cells.dtype)
        reciprocal = 2 * math.pi * lattices.inverses.transpose(1, 2)
        third = reciprocal[:, 2:]  # [B, 1, 3]
        step = torch.linalg.vector_norm(third, dim=2)  # [B, 1]
        k = planes.to(cells.dtype) @ reciprocal[:, :2]  # [B, p, 3]
        # The point of each line that is closest to k = 0, and half of the line's length
        middle = -(k * third).sum(2) / (step * step)
        k = k + middle.unsqueeze(2) * third
        squares = (radii * radii).unsqueeze(1) - (k * k).sum(2)
        half = torch.where(squares >= 0, squares.clamp(min=0).sqrt() / step, -1.0)
        first, last = torch.ceil(middle - half), torch.floor(middle + half)
        return first.to(torch.int64), last.to(torch.int64)

    @torch.jit.export
    def error(self, spacing: float) -> float:
        """See :class:`KSelector`."""
        return self.split.accuracy


class KBox(KSelector):
    r"""As many frequencies along each lattice vector as its length takes, as lorem-jax.

    :math:`\lceil |a| / \lambda \rceil` frequencies along the lattice vector :math:`a`, as
    of a discrete Fourier transform. The highest one of an even number is left out where it
    is the leading index of the half space.

    :param smearing: width of the Gaussian charges
    :param wavelength: :math:`\lambda`
    """

    def __init__(self, smearing: float, wavelength: float) -> None:
        super().__init__()
        self.smearing = smearing
        self.wavelength = wavelength

    def extra_repr(self) -> str:
        """Settings."""
        return f"smearing={self.smearing:g}, wavelength={self.wavelength:g}"

    def frequencies(self, cells: torch.Tensor) -> torch.Tensor:
        """Number of frequencies along each lattice vector, ``[S, 3]``."""
        return torch.ceil(lattice_lengths(cells) / self.wavelength).to(torch.int64)

    def largest(self, lattices: Lattices) -> list[list[int]]:
        """See :class:`KSelector`."""
        half = torch.div(self.frequencies(lattices.cells), 2, rounding_mode="floor")
        largest: list[list[int]] = half.tolist()
        return largest

    def lines(
        self, lattices: Lattices, planes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`KSelector`."""
        frequencies = self.frequencies(lattices.cells).unsqueeze(1)  # [B, 1, 3]
        low = -torch.div(frequencies, 2, rounding_mode="floor")
        high = torch.div(frequencies - 1, 2, rounding_mode="floor")
        inside = ((planes >= low[:, :, :2]) & (planes <= high[:, :, :2])).all(2)  # [B, p]
        return torch.where(inside, low[:, :, 2], 1), torch.where(inside, high[:, :, 2], 0)

    @torch.jit.export
    def error(self, spacing: float) -> float:
        """See :class:`KSelector`."""
        x = self.smearing * math.pi / self.wavelength
        return reciprocal_error(x, spacing / self.smearing)


def lattice_lengths(cells: torch.Tensor) -> torch.Tensor:
    """Lengths of the lattice vectors, ``[S, 3]``."""
    return torch.linalg.vector_norm(cells, dim=2)
