"""Invariants of spherical features: one number for each degree and channel."""

from typing import Literal

import torch

from .spherical import degrees_of_components


NormKind = Literal["smooth", "paper", "signed"]

# Features below these sizes enter as squares, larger ones as norms. Typical features of
# trained models are 0.1 in the short-range stage and in messages, and 0.002 after the
# product with the potentials (benchmarks/learning).
SHORT_RANGE_WIDTH = 0.1
LONG_RANGE_WIDTH = 0.002


def make_norms(kind: NormKind, max_degree: int, width: float) -> torch.nn.Module:
    """The invariants that the hyper-parameter ``norms`` names.

    :param kind: ``smooth``, ``paper``, or ``signed``: those of the paper, of which degree 0
        keeps its sign
    :param max_degree: highest degree ``L`` of the features
    :param width: see :class:`SmoothNorms`
    :return: a module ``[N, M, c] -> [N, L + 1, c]``
    """
    if kind == "smooth":
        return SmoothNorms(max_degree, width)
    return DegreeNorms(max_degree, signed=kind == "signed")


class SmoothNorms(torch.nn.Module):
    r"""Norms that are smooth everywhere, with squares in place of their cusps.

    .. math::

        n_{i0c} = x_{ic}^{00}, \quad
        n_{ilc} = (2l + 1)^{1/4} \left( \sqrt{|x_{ic}^l|^2 + w^2} - w \right), \quad
        |x_{ic}^l|^2 = \textstyle\sum_m (x_{ic}^{lm})^2

    Features much larger than the width :math:`w` enter by their norms, as in the paper, up
    to a constant; much smaller ones by :math:`|x|^2 / 2w`. All derivatives exist at zero,
    and no difference of nearly equal numbers is taken.

    :param max_degree: highest degree ``L`` of the features
    :param width: :math:`w`, in the unit of the features
    """

    def __init__(self, max_degree: int, width: float) -> None:
        super().__init__()
        self.max_degree = max_degree
        self.width = width
        self.sizes = [1, (max_degree + 1) ** 2 - 1]  # components of degree 0, all others
        # The factors of the degrees enter by squares and widths.
        factors = degree_factors(max_degree)[1:]
        squares = factors**2 * indicator(max_degree)[1:, 1:]
        self.register_buffer("squares", squares, persistent=False)
        self.register_buffer("factors", factors, persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``[N, M, c] -> [N, L + 1, c]``"""
        scalars, others = torch.split(features, self.sizes, 1)
        squared = self.squares.to(features.dtype) @ (others * others)
        widths = self.factors.to(features.dtype) * self.width
        norms = squared / (torch.addcmul(squared, widths, widths).sqrt() + widths)
        return torch.cat([scalars, norms], dim=1)

    def extra_repr(self) -> str:
        return f"max_degree={self.max_degree}, width={self.width}"


class DegreeNorms(torch.nn.Module):
    r"""L2 norm over the components of each degree and channel.

    .. math::

        n_{ilc} = (2l + 1)^{1/4} \sqrt{\textstyle\sum_m (x_{ic}^{lm})^2}

    These are the invariants of the paper. They have a cusp where all components of a degree
    vanish, as they do at every site that is symmetric enough: energies have no minimum
    there, and forces jump. :class:`SmoothNorms` has none.

    The factor makes the variance uniform over degrees. The components of each degree and
    channel are divided by the largest of them first: that changes no derivative, is exact
    at every scale, and leaves first and second derivatives finite for components down to
    1e-37 (float32); where all of them are zero, derivatives are zero.

    :param max_degree: highest degree ``L`` of the features
    :param signed: features of degree 0 keep their sign, as their norm, the absolute value,
        has a kink where they change it
    """

    def __init__(self, max_degree: int, signed: bool = False) -> None:
        super().__init__()
        self.max_degree = max_degree
        self.signed = signed
        # Components of each degree, padded to 2 L + 1 by repeating the last one.
        padded = [
            min(degree**2 + m, (degree + 1) ** 2 - 1)
            for degree in range(max_degree + 1)
            for m in range(2 * max_degree + 1)
        ]
        degrees = degrees_of_components(max_degree)
        self.register_buffer("degrees", degrees, persistent=False)
        self.register_buffer("indicator", indicator(max_degree), persistent=False)
        self.register_buffer("factors", degree_factors(max_degree), persistent=False)
        self.register_buffer("padded", torch.tensor(padded), persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``[N, M, c] -> [N, L + 1, c]``"""
        num_atoms, num_channels = features.shape[0], features.shape[2]
        magnitudes = features.detach().abs().index_select(1, self.padded)
        largest = magnitudes.reshape(
            num_atoms, self.max_degree + 1, 2 * self.max_degree + 1, num_channels
        ).amax(dim=2)
        is_zero = largest == 0
        scale = largest.masked_fill(is_zero, 1.0).index_select(1, self.degrees)
        scaled = features / scale
        squared = self.indicator.to(scale.dtype) @ (scaled * scaled)
        norms = squared.masked_fill(is_zero, 1.0).sqrt()
        norms = norms * (largest * self.factors.to(scale.dtype))
        if self.signed:
            norms = torch.cat([features[:, :1], norms[:, 1:]], dim=1)
        return norms

    def extra_repr(self) -> str:
        return f"max_degree={self.max_degree}, signed={self.signed}"


def indicator(max_degree: int) -> torch.Tensor:
    """Which components belong to which degree, ``[L + 1, M]``."""
    degrees = degrees_of_components(max_degree)
    return torch.nn.functional.one_hot(degrees).t().to(torch.float64)


def degree_factors(max_degree: int) -> torch.Tensor:
    """``(2 l + 1)**(1/4)``, ``[L + 1, 1]``."""
    degrees = torch.arange(max_degree + 1, dtype=torch.float64)
    return ((2.0 * degrees + 1) ** 0.25).unsqueeze(-1)
