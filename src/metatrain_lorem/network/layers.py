"""Initial weights: truncated normal distributions, as in the reference code."""

import math

import torch


# Standard deviation of a unit normal distribution cut at two standard deviations.
TRUNCATED_STD = 0.87962566103423978


def truncated_normal_(weight: torch.Tensor, variance: float) -> torch.Tensor:
    """Fill ``weight`` in place with a cut normal distribution of given variance."""
    std = math.sqrt(variance) / TRUNCATED_STD
    return torch.nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def linear(in_features: int, out_features: int, bias: bool = True) -> torch.nn.Linear:
    """A linear layer with weights of variance ``1 / in_features`` and zero biases."""
    layer = torch.nn.Linear(in_features, out_features, bias=bias)
    truncated_normal_(layer.weight.data, 1.0 / in_features)
    if bias:
        torch.nn.init.zeros_(layer.bias)
    return layer


def mlp(sizes: list[int]) -> torch.nn.Sequential:
    """Linear layers with SiLU activations between them (not after the last one)."""
    layers: list[torch.nn.Module] = []
    for in_features, out_features in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [linear(in_features, out_features), torch.nn.SiLU()]
    return torch.nn.Sequential(*layers[:-1])
