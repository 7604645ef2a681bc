"""Linear maps of spherical features ``[N, M, c]``."""

import torch

from .layers import truncated_normal_
from .spherical import degrees_of_components


class DegreeLinear(torch.nn.Module):
    """A linear map of the channels, with weights of its own for each degree.

    :param max_degree: highest degree ``L``
    :param in_channels: channels of the input
    :param out_channels: channels of the output
    """

    def __init__(self, max_degree: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(
            truncated_normal_(
                torch.empty(max_degree + 1, in_channels, out_channels),
                1.0 / in_channels,
            )
        )
        self.register_buffer("degrees", degrees_of_components(max_degree), persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``[N, M, in_channels] -> [N, M, out_channels]``"""
        weight = self.weight.index_select(0, self.degrees)  # [M, in, out]
        features = features.transpose(0, 1).contiguous()  # [M, N, in]
        return torch.bmm(features, weight).transpose(0, 1)

    def extra_repr(self) -> str:
        num_degrees, in_channels, out_channels = self.weight.shape
        return f"max_degree={num_degrees - 1}, channels={in_channels} -> {out_channels}"
