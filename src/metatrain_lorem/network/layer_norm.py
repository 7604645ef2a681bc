"""Layer normalization whose second derivative takes few operations."""

from typing import Any

import torch


class LayerNorm(torch.nn.LayerNorm):
    r"""``torch.nn.LayerNorm`` of features ``[N, d]``, for training on forces.

    .. math::

        y = \gamma \hat x + \beta, \quad \hat x = (x - \bar x) r, \quad
        r = (\overline{(x - \bar x)^2} + \epsilon)^{-1/2}

    In Python, unless compiled, the second derivative is written down: torch takes 60
    operations for it.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``[N, d] -> [N, d]``"""
        if not torch.jit.is_scripting():  # noqa: SIM102 (TorchScript reads only this one)
            if not torch.compiler.is_compiling():
                return _Normalize.apply(features, self.weight, self.bias, self.eps)
        return torch.nn.functional.layer_norm(
            features, self.normalized_shape, self.weight, self.bias, self.eps
        )


class _Normalize(torch.autograd.Function):
    """The formula of :class:`LayerNorm`."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float
    ) -> torch.Tensor:
        y, mean, scale = torch.native_layer_norm(x, x.shape[1:], weight, bias, eps)
        ctx.save_for_backward(x, weight, mean, scale)
        return y

    @staticmethod
    def backward(ctx: Any, by_y: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return (*_Gradient.apply(by_y, *ctx.saved_tensors, *ctx.needs_input_grad[:3]), None)


class _Gradient(torch.autograd.Function):
    r"""Gradients of the normalization, :math:`g_x = r P (\gamma g_y)` for features.

    :math:`P h = h - \bar h - \hat x\,\overline{\hat x h}` is a symmetric projection.
    """

    @staticmethod
    def forward(
        ctx: Any,
        by_y: torch.Tensor,
        x: torch.Tensor,
        weight: torch.Tensor,
        mean: torch.Tensor,
        scale: torch.Tensor,
        *needed: bool,
    ) -> tuple[torch.Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        by_x, by_weight, by_bias = torch.ops.aten.native_layer_norm_backward(
            by_y, x, x.shape[1:], mean, scale, weight, weight, list(needed)
        )
        ctx.save_for_backward(by_y, x, weight, mean, scale, by_x)
        return by_x, by_weight, by_bias

    @staticmethod
    def backward(
        ctx: Any,
        u: torch.Tensor | None,
        of_weight: torch.Tensor | None,
        of_bias: torch.Tensor | None,
    ) -> tuple[torch.Tensor | None, ...]:
        by_y, x, weight, mean, scale, by_x = ctx.saved_tensors
        normalized = (x - mean) * scale
        by_y2, by_x2, by_weight2 = torch.zeros_like(x), torch.zeros_like(x), None
        if u is not None:
            # r P u
            projected = _project(u, x, mean, scale)
            by_normalized = by_y * weight
            by_y2 = weight * projected
            by_weight2 = (by_y * projected).sum(0)
            by_x2 = normalized * _mean(u * by_x)
            by_x2 = torch.addcmul(by_x2, projected, _mean(by_normalized * normalized))
            by_x2 = torch.addcmul(by_x2, by_x, _mean(u * normalized)) * -scale
        if of_weight is not None:
            by_y2 = by_y2 + of_weight * normalized
            by_x2 = by_x2 + _project(by_y * of_weight, x, mean, scale)
        if of_bias is not None:
            by_y2 = by_y2 + of_bias
        return (by_y2, by_x2, by_weight2, *[None] * 5)


def _mean(values: torch.Tensor) -> torch.Tensor:
    return values.mean(1, keepdim=True)


def _project(
    values: torch.Tensor, x: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """:math:`r P` times the values."""
    return torch.ops.aten.native_layer_norm_backward(
        values, x, x.shape[1:], mean, scale, None, None, [True, False, False]
    )[0]
