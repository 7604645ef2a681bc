"""Reciprocal-space part of the Ewald sum, on a mesh, for large systems."""

import math

import torch
from torch.utils.checkpoint import checkpoint

from ..ops.budget import MEMORY, NEW_PAGES
from ..ops.chunks import chunk_size
from ..ops.rows import count_rows, sum_rows, take_rows
from .cells import cell_volumes, inverse_cells
from .mesh_size import BLOCK, ORDER, num_points
from .splines import BSpline
from .splitting import Split


class MeshSum(torch.nn.Module):
    r"""The sum of :class:`.kspace.ReciprocalSum` by fast Fourier transforms.

    Smooth particle mesh (Essmann et al., J. Chem. Phys. 103, 8577 (1995)): charges are
    spread over a mesh by B-splines of order ``p``, and potentials are interpolated by
    the same splines. Everything happens in fractional coordinates, so that cells of any
    shape and orientation are alike, and gradients in positions and cell are exact
    derivatives of the potentials.

    The factor of each k-vector is that of the sum times that of the splines with the
    smallest error of the energy of random positions (Ballenegger, Cerda and Holm, J.
    Chem. Theory Comput. 8, 936 (2012)),

    .. math::

        D(n) = \prod_\alpha \frac{U(n_\alpha)^2}{\left[ \sum_m U(n_\alpha + m N_\alpha)^2
        \right]^2}, \quad U(n) = \left( \frac{\sin(\pi n / N)}{\pi n / N} \right)^p

    Blocks of mesh points take the charges of all their atoms in one matrix product, with
    a margin for the width of the splines; then the margins are added to the neighbors.

    :param split: with the factors :math:`4 \pi \hat w(k) / k^2`
    :param memory: bytes that the working arrays of one step may take
    """

    def __init__(self, split: Split, memory: int = MEMORY) -> None:
        super().__init__()
        self.split = split
        self.memory = memory
        # Well below the size from where on each array is made of new pages
        self.page_limit = NEW_PAGES // 2
        self.order = ORDER
        self.block = BLOCK
        self.spline = BSpline(self.order)

    def extra_repr(self) -> str:
        """Settings."""
        return f"order={self.order}, block={self.block}"

    def forward(
        self,
        positions: torch.Tensor,
        charges: torch.Tensor,
        cell: torch.Tensor,
        shape: list[int],
    ) -> torch.Tensor:
        """Potentials of one system.

        :param positions: ``[N, 3]``
        :param charges: ``[N, C]``
        :param cell: ``[3, 3]``
        :param shape: points of the mesh along each lattice vector, see
            :func:`.mesh_shape`
        :return: ``[N, C]``
        """
        inverse = inverse_cells(cell)
        fractional = positions @ inverse
        fractional = fractional - torch.floor(fractional.detach())
        scaled = torch.stack([fractional[:, i] * float(shape[i]) for i in range(3)], dim=1)
        slots = block_slots(scaled.detach(), shape, self.block)
        x, y, z = torch.unbind(take_rows(self.weights(scaled), slots), dim=2)  # [K, n, W]
        xy = (x.unsqueeze(3) * y.unsqueeze(2)).flatten(2)  # [K, n, WW]

        kernel = self.kernel(inverse, shape)
        bytes_of_column = num_points(shape) * charges.element_size()
        columns = chunk_size(charges.t(), bytes_of_column, self.page_limit)
        columns = max(1, min(columns, self.memory // (8 * bytes_of_column)))
        keep = 8 * bytes_of_column * charges.shape[1] <= self.memory
        parts: list[torch.Tensor] = []
        for part in torch.split(charges, columns, 1):
            if torch.jit.is_scripting() or keep:
                part = self.columns(xy, z, part, kernel, slots, shape)
            else:
                # The arrays of these columns are computed again in the backward pass.
                part = checkpoint(
                    self.columns,
                    *(xy, z, part, kernel, slots, shape),
                    use_reentrant=False,
                )
            parts.append(part)
        return torch.cat(parts, dim=1)

    def columns(
        self,
        xy: torch.Tensor,
        z: torch.Tensor,
        charges: torch.Tensor,
        kernel: torch.Tensor,
        slots: torch.Tensor,
        shape: list[int],
    ) -> torch.Tensor:
        """Potentials of some columns of charges, ``[N, C]``.

        :param xy: weights of the atoms in the first two directions, ``[K, n, WW]``
        :param z: weights of the atoms in the third direction, ``[K, n, W]``
        :param kernel: factors of the waves on the mesh, from :meth:`kernel`
        :param slots: atoms of each block, from :func:`block_slots`, ``[K, n]``
        """
        width = self.block + self.order - 1
        zero = torch.zeros_like(charges[:1])
        sources = take_rows(torch.cat([charges, zero]), slots)  # [K, n, C]
        sources = (z.unsqueeze(3) * sources.unsqueeze(2)).flatten(2)  # [K, n, WC]
        windows = torch.bmm(xy.transpose(1, 2), sources)  # [K, WW, WC]

        counts = [size // self.block for size in shape]
        grid = windows.reshape(counts + [width, width, width, -1])
        grid = grid.permute(0, 3, 1, 4, 2, 5, 6)
        for axis in range(3):
            grid = self.add_margins(grid, axis)
        # As pairs of reals: TorchScript cannot derive a product of complex and real.
        pairs = torch.view_as_real(torch.fft.rfftn(grid, dim=[0, 1, 2]))
        waves = torch.view_as_complex(pairs * kernel[:, :, :, None, None])
        grid = torch.fft.irfftn(waves, s=shape, dim=[0, 1, 2])
        for axis in [2, 1, 0]:
            grid = self.with_margins(grid, axis)
        windows = grid.permute(0, 2, 4, 1, 3, 5, 6)
        windows = windows.reshape(z.shape[0], width * width, -1)

        values = torch.bmm(xy, windows).reshape(z.shape + (-1,))
        values = (values * z.unsqueeze(3)).sum(2)  # [K, n, C]
        num_atoms = charges.shape[0]
        return sum_rows(values.flatten(0, 1), slots.flatten(), num_atoms + 1)[:num_atoms]

    def add_margins(self, grid: torch.Tensor, axis: int) -> torch.Tensor:
        """From windows ``[..., k, W, ...]`` to points ``[..., k * block, ...]``.

        The first ``order - 1`` points of a window are the last ones of the block before.
        """
        margin = self.order - 1
        sizes = [margin, self.block - margin, margin]
        first, inner, last = torch.split(grid, sizes, axis + 1)
        last = last + torch.roll(first, -1, axis)
        return torch.cat([inner, last], axis + 1).flatten(axis, axis + 1)

    def with_margins(self, grid: torch.Tensor, axis: int) -> torch.Tensor:
        """From points ``[..., k * block, ...]`` to windows ``[..., k, W, ...]``."""
        margin = self.order - 1
        shape = list(grid.shape)
        grid = grid.reshape(shape[:axis] + [-1, self.block] + shape[axis + 1 :])
        inner, last = torch.split(grid, [self.block - margin, margin], axis + 1)
        return torch.cat([torch.roll(last, 1, axis), inner, last], axis + 1)

    def weights(self, scaled: torch.Tensor) -> torch.Tensor:
        """Weights of the points of a window, with a last row of zeros ``[N + 1, 3, W]``."""
        base = torch.floor(scaled.detach())
        splines = self.spline(scaled - base - 0.5)  # [N, 3, p]
        steps = torch.arange(self.order, device=base.device)
        index = torch.remainder(base.to(torch.int64), self.block).unsqueeze(2)
        width = self.block + self.order - 1
        zeros = splines.new_zeros([base.shape[0] + 1, 3, width])
        return zeros.scatter(2, index + self.order - 1 - steps, splines)

    def kernel(self, inverse: torch.Tensor, shape: list[int]) -> torch.Tensor:
        """Factors of the waves on the mesh, ``[n1, n2, n3 // 2 + 1]``.

        :param inverse: inverse of the cell
        :param shape: points of the mesh
        """
        squares = torch.zeros_like(inverse[0, 0])
        factors = cell_volumes(inverse)
        factors = factors * float(shape[0] * shape[1] * shape[2])
        metric = 4 * math.pi**2 * inverse.T @ inverse
        waves: list[torch.Tensor] = []
        for axis in range(3):
            size = shape[axis]
            n = torch.arange(size, device=inverse.device).to(inverse.dtype)
            n = torch.where(n > size // 2, n - size, n)
            if axis == 2:
                n = n[: size // 2 + 1]
            view = [1, 1, 1]
            view[axis] = -1
            factors = factors * self.spline.factors(n, size).reshape(view)
            waves.append(n.reshape(view))
            for other in range(axis + 1):
                weight = 1.0 if other == axis else 2.0
                product = metric[axis, other] * waves[axis] * waves[other]
                squares = squares + weight * product
        is_zero = torch.zeros_like(squares, dtype=torch.bool)
        is_zero[0, 0, 0] = True
        squares = torch.where(is_zero, 1.0, squares)
        kernel = self.split.waves(squares) * factors
        return torch.where(is_zero, 0.0, kernel)


def block_slots(scaled: torch.Tensor, shape: list[int], block: int) -> torch.Tensor:
    """Atoms of each block of mesh points, ``[K, n]``; ``N`` where there is none.

    :param scaled: coordinates in units of the mesh, ``[N, 3]``
    :param shape: size of the mesh
    :param block: points of a block along each axis
    """
    counts = [size // block for size in shape]
    index = torch.floor(scaled / block).to(torch.int64)
    blocks = (index[:, 0] * counts[1] + index[:, 1]) * counts[2] + index[:, 2]
    occupied, order = torch.sort(blocks)
    num_blocks = counts[0] * counts[1] * counts[2]
    sizes = count_rows(blocks, num_blocks)
    starts = torch.cumsum(sizes, 0) - sizes
    position = torch.arange(blocks.shape[0], device=scaled.device) - starts[occupied]
    slots = torch.full_like(sizes, blocks.shape[0]).unsqueeze(1)
    slots = slots.repeat(1, int(sizes.max()))
    slots[occupied, position] = order
    return slots
