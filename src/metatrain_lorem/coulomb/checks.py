"""What a caller may have got wrong, said before it becomes a riddle."""

import math

import torch

from .real_space import Pairs
from .truncation import FINEST


def check_positive(name: str, value: float, upper: float = math.inf) -> None:
    """:raises ValueError: unless ``0 < value < upper``."""
    if not isinstance(value, float | int):
        raise ValueError(f"`{name}` must be a number, got {value!r}")
    if not 0 < value < upper:  # also for NaN
        bound = "finite" if upper == math.inf else f"below {upper:g}"
        raise ValueError(f"`{name}` must be positive and {bound}, got {value}")


def check_accuracy(accuracy: float) -> None:
    """:raises ValueError: unless double precision can reach it."""
    check_positive("accuracy", accuracy, 1.0)
    if accuracy < FINEST:
        raise ValueError(
            f"`accuracy` must be at least {FINEST:g}, as float64 holds no more, got "
            f"{accuracy}"
        )


def check_smearing(smearing: float, cutoff: float) -> None:
    """:raises ValueError: if hardly any of the real-space sum is within the cutoff."""
    check_positive("smearing", smearing)
    if smearing > 0.5 * cutoff:
        raise ValueError(
            f"`smearing` must be at most half of the cutoff ({cutoff:g}), beyond which the "
            f"real-space sum ends, got {smearing}"
        )


def check_inputs(
    positions: torch.Tensor,
    charges: torch.Tensor,
    cells: torch.Tensor,
    pbc: torch.Tensor,
    systems: torch.Tensor,
    pairs: Pairs,
) -> None:
    """Shapes, types and devices of the arguments of :class:`.CoulombSolver`.

    :raises ValueError: naming the argument and what it is
    """
    check_system(positions, charges)
    if cells.dim() != 3:
        _refuse("cells", "a tensor of shape [S, 3, 3]", cells)
    num_atoms, num_systems = positions.shape[0], cells.shape[0]
    check_shape("cells", cells, [num_systems, 3, 3])
    check_shape("pbc", pbc, [num_systems, 3])
    check_shape("systems", systems, [num_atoms])
    if pairs.neighbors.dim() != 2:
        _refuse("pairs.neighbors", "a 2-dimensional tensor", pairs.neighbors)
    num_rows, width = pairs.neighbors.shape[0], pairs.neighbors.shape[1]
    check_shape("pairs.centers", pairs.centers, [num_rows])
    check_shape("pairs.distances", pairs.distances, [num_rows, width])
    check_like("cells", cells, positions)
    check_like("pairs.distances", pairs.distances, positions)
    check_kind("pbc", pbc, torch.bool, positions)
    check_kind("systems", systems, torch.int64, positions)
    check_kind("pairs.centers", pairs.centers, torch.int64, positions)
    check_kind("pairs.neighbors", pairs.neighbors, torch.int64, positions)
    if num_atoms > 0:
        steps = systems[1:] - systems[:-1]
        if bool((steps < 0).any()) or int(systems[0]) < 0:
            raise ValueError("`systems` must be sorted and not negative")
        if int(systems[-1]) >= num_systems:
            raise ValueError(
                f"`systems` must be below the number of cells, {num_systems}, got "
                f"{int(systems[-1])}"
            )


def check_system(positions: torch.Tensor, charges: torch.Tensor) -> None:
    """Positions ``[N, 3]`` and charges ``[N, C]`` of one floating-point type."""
    if positions.dim() != 2 or positions.shape[1] != 3:
        _refuse("positions", "a tensor of shape [N, 3]", positions)
    if not positions.is_floating_point():
        raise ValueError(
            f"`positions` must have a floating-point type, got {positions.dtype}"
        )
    if charges.dim() != 2:
        _refuse("charges", "a 2-dimensional tensor", charges)
    check_shape("charges", charges, [positions.shape[0], charges.shape[1]])
    check_like("charges", charges, positions)


def check_like(name: str, values: torch.Tensor, positions: torch.Tensor) -> None:
    """The type and the device of the positions."""
    check_kind(name, values, positions.dtype, positions)


def check_kind(
    name: str, values: torch.Tensor, dtype: torch.dtype, positions: torch.Tensor
) -> None:
    """A type, on the device of the positions."""
    if values.dtype != dtype:
        raise ValueError(f"type of `{name}` must be {dtype}, got {values.dtype}")
    if values.device != positions.device:
        raise ValueError(
            f"`{name}` must be on the device of `positions`, {positions.device}, got "
            f"{values.device}"
        )


def check_shape(name: str, values: torch.Tensor, shape: list[int]) -> None:
    """Refuse tensors of another shape."""
    if list(values.shape) != shape:
        _refuse(name, f"a tensor of shape {shape}", values)


def _refuse(name: str, expected: str, values: torch.Tensor) -> None:
    shape = list(values.shape)
    raise ValueError(f"`{name}` must be {expected}, got a tensor of shape {shape}")
