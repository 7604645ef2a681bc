"""The optimizer LAMB."""

from collections.abc import Iterable

import torch


class Lamb(torch.optim.Optimizer):
    r"""LAMB (arXiv:1904.00962), with the values of ``optax.lamb``.

    For each array of weights :math:`w`, with the moments :math:`m` and :math:`v` of its
    gradient as in Adam, without their bias,

    .. math::

        u = \frac{m}{\sqrt{v} + \epsilon} + \lambda w, \qquad
        w \leftarrow w - \eta \frac{|w|}{|u|} u

    where the ratio of the norms is 1 if one of them vanishes. Betas are 0.9 and 0.999,
    :math:`\epsilon` is 1e-6.

    Parameters of three dimensions are stacks of matrices, one per degree of spherical
    features: each matrix is an array of its own, as it is in lorem-jax. No library has
    such stacks, and the LAMB of `pytorch-optimizer` neither corrects the bias of the
    second moment nor lets :math:`|w|` exceed 10.

    :param parameters: tensors to be optimized
    :param lr: learning rate :math:`\eta`
    :param weight_decay: :math:`\lambda`
    """

    BETAS = (0.9, 0.999)
    EPSILON = 1e-6

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], lr: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Change all parameters that have a gradient.

        :param closure: not supported; it is in the signature of all optimizers
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group["lr"], group["weight_decay"])

    def _step(self, parameter: torch.nn.Parameter, lr: float, weight_decay: float) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        mean, square, gradient = state["mean"], state["square"], parameter.grad
        mean.lerp_(gradient, 1 - self.BETAS[0])
        square.lerp_(gradient.square(), 1 - self.BETAS[1])
        first, second = (1 - beta ** state["step"] for beta in self.BETAS)
        update = mean / first / ((square / second).sqrt_() + self.EPSILON)
        update.add_(parameter, alpha=weight_decay)
        parameter.sub_(lr * _trust_ratio(parameter, update) * update)


def _trust_ratio(weights: torch.Tensor, update: torch.Tensor) -> torch.Tensor:
    """Ratio of the norms, of each matrix of a stack, broadcast to the update."""
    dims = (1, 2) if weights.ndim == 3 else tuple(range(weights.ndim))
    norms = [torch.linalg.vector_norm(x, dim=dims, keepdim=True) for x in (weights, update)]
    ratio = norms[0] / norms[1]
    return torch.where((norms[0] > 0) & (norms[1] > 0), ratio, torch.ones_like(ratio))
