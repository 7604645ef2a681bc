"""Powers of the coordinates of directions, with derivatives in few operations."""

from typing import Any

import torch


def coordinate_powers(
    directions: torch.Tensor, max_power: int
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Powers :math:`(x + iy)^n` and :math:`z^n`, for ``n = 0 ... L``.

    In Python, unless compiled, their derivatives are written down, for all powers at once;
    TorchScript differentiates one multiplication after the other.

    :param directions: ``[G, 3, W]``
    :param max_power: highest power ``L``
    :return: real and imaginary parts ``[G, 2, L + 1, W]``, and those of ``z``
        ``[G, L + 1, W]``
    """
    if not torch.jit.is_scripting():  # noqa: SIM102 (TorchScript reads only this one)
        if not torch.compiler.is_compiling():
            return _Powers.apply(directions, max_power)
    return _powers(directions, max_power)


def _powers(directions: torch.Tensor, max_power: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, y, z = directions.unbind(1)
    one = torch.ones_like(x)
    real, imaginary, of_z = [one], [torch.zeros_like(x)], [one]
    for _ in range(max_power):
        next_real = real[-1] * x - imaginary[-1] * y
        imaginary.append(real[-1] * y + imaginary[-1] * x)
        real.append(next_real)
        of_z.append(of_z[-1] * z)
    of_xy = torch.stack(real + imaginary, dim=1).unflatten(1, [2, -1])
    return of_xy, torch.stack(of_z, dim=1)


class _Powers(torch.autograd.Function):
    """The powers, whose derivatives are powers: :math:`d z^n / dz = n z^{n-1}`."""

    @staticmethod
    def forward(
        ctx: Any, directions: torch.Tensor, max_power: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        powers = _powers(directions, max_power)
        ctx.save_for_backward(*powers)
        return powers

    @staticmethod
    def backward(
        ctx: Any, by_xy: torch.Tensor, by_z: torch.Tensor
    ) -> tuple[torch.Tensor, None]:
        return _PowersGradient.apply(*ctx.saved_tensors, by_xy, by_z), None


class _PowersGradient(torch.autograd.Function):
    """From the gradients by the powers to that by the coordinates, ``[G, 3, W]``."""

    @staticmethod
    def forward(
        ctx: Any,
        of_xy: torch.Tensor,
        of_z: torch.Tensor,
        by_xy: torch.Tensor,
        by_z: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(of_xy, of_z, by_xy, by_z)
        exponents = _exponents(of_z)
        real, imaginary = (of_xy[:, :, :-1] * exponents).unbind(1)
        by_real, by_imaginary = by_xy[:, :, 1:].unbind(1)
        terms = [
            torch.addcmul(by_real * real, by_imaginary, imaginary),
            torch.addcmul(by_imaginary * real, by_real, imaginary, value=-1.0),
            by_z[:, 1:] * of_z[:, :-1] * exponents,
        ]
        return torch.stack(terms, dim=1).sum(2)

    @staticmethod
    def backward(ctx: Any, second: torch.Tensor) -> tuple[torch.Tensor, ...]:
        of_xy, of_z, by_xy, by_z = ctx.saved_tensors
        x, y, z = (second.unsqueeze(2) * _exponents(of_z)).unbind(1)  # [G, L, W]
        pad = torch.nn.functional.pad
        return (
            pad(_turned(by_xy[:, :, 1:], x, y, -1.0), [0, 0, 0, 1]),
            pad(by_z[:, 1:] * z, [0, 0, 0, 1]),
            pad(_turned(of_xy[:, :, :-1], x, y, 1.0), [0, 0, 1, 0]),
            pad(of_z[:, :-1] * z, [0, 0, 1, 0]),
        )


def _exponents(powers: torch.Tensor) -> torch.Tensor:
    """``1 ... L``, ``[L, 1]``, for powers ``[G, L + 1, W]``."""
    numbers = torch.arange(1, powers.shape[1], dtype=powers.dtype, device=powers.device)
    return numbers.unsqueeze(1)


def _turned(
    values: torch.Tensor, x: torch.Tensor, y: torch.Tensor, sign: float
) -> torch.Tensor:
    """``(real + i imaginary) (x + i sign y)``, ``[G, 2, L, W]``."""
    real, imaginary = values.unbind(1)
    new_real = torch.addcmul(real * x, imaginary, y, value=-sign)
    return torch.stack([new_real, torch.addcmul(imaginary * x, real, y, value=sign)], dim=1)
