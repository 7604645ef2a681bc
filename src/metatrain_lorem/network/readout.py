"""Readouts: from the features of the atoms to the predictions of a target."""

import torch

from .clebsch_gordan import clebsch_gordan
from .features import Sizes
from .layers import linear, mlp
from .tensor_product import TensorProduct


class Readout(torch.nn.Module):
    r"""Predictions of one target, as a sum over the stages of the features.

    .. math::

        f_i^{(s)} = \mathrm{MLP}_s(h_i^{(s)}), \quad
        p_i = \sum_s W_s f_i^{(s)} + b_s, \quad
        t_i^{\lambda\mu} = \sum_s \sum_c (W_s f_i^{(s)})_c \, x_{ic}^{(s)\lambda\mu}

    for scalars and for spherical tensors; both are linear in the last-layer features
    ``f``.

    :param sizes: sizes of the features
    :param blocks: one module for each block of the target
    """

    def __init__(self, sizes: Sizes, blocks: list[torch.nn.Module]) -> None:
        super().__init__()
        d = sizes.num_features
        self.heads = torch.nn.ModuleList(
            torch.nn.Sequential(mlp([d, d, d]), torch.nn.SiLU())
            for _ in range(sizes.num_stages)
        )
        self.blocks = torch.nn.ModuleList(blocks)

    def features(self, scalars: list[torch.Tensor]) -> list[torch.Tensor]:
        """Last-layer features of each stage, each ``[N, d]``."""
        return [head(scalars[i]) for i, head in enumerate(self.heads)]

    def forward(
        self, features: list[torch.Tensor], spherical: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Values of each block, ``[N, components ..., properties]``.

        :param features: result of :meth:`features`
        :param spherical: spherical features of each stage, each ``[N, M, c]``
        """
        return [block(features, spherical) for block in self.blocks]


class ScalarBlock(torch.nn.Module):
    """Scalars: a linear map of the last-layer features of each stage.

    :param sizes: sizes of the features; there are ``d`` last-layer features, too
    :param num_properties: number of values per atom
    """

    def __init__(self, sizes: Sizes, num_properties: int) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(
            linear(sizes.num_features, num_properties) for _ in range(sizes.num_stages)
        )

    def forward(
        self, features: list[torch.Tensor], spherical: list[torch.Tensor]
    ) -> torch.Tensor:
        """``[N, 1, properties]``"""
        parts = [layer(features[i]) for i, layer in enumerate(self.layers)]
        return torch.stack(parts).sum(0).unsqueeze(1)


class SphericalBlock(torch.nn.Module):
    """Spherical tensors of one degree, proper or pseudo.

    :param sizes: sizes of the features
    :param degree: degree of the tensor
    :param pseudo: whether it is a pseudotensor
    :param num_properties: number of tensors per atom
    :param order: order of the components in the output, ``[2 degree + 1]``
    """

    def __init__(
        self,
        sizes: Sizes,
        degree: int,
        pseudo: bool,
        num_properties: int,
        order: list[int],
    ) -> None:
        super().__init__()
        c = sizes.num_spherical_features
        self.degree = degree
        self.gate_shape = [num_properties, c]
        self.layers = torch.nn.ModuleList(
            linear(sizes.num_features, num_properties * c, bias=False)
            for _ in range(sizes.num_stages)
        )
        self.pseudo = PseudoTensors(sizes.max_degree, degree, c) if pseudo else None
        components = torch.tensor(order) + degree * degree
        self.register_buffer("components", components, persistent=False)

    def forward(
        self, features: list[torch.Tensor], spherical: list[torch.Tensor]
    ) -> torch.Tensor:
        """``[N, 2 degree + 1, properties]``"""
        parts: list[torch.Tensor] = []
        for i, layer in enumerate(self.layers):
            tensors = spherical[i]
            if self.pseudo is not None:
                tensors = self.pseudo(tensors)
            gates = layer(features[i]).unflatten(1, self.gate_shape)  # [N, p, c]
            tensors = tensors.index_select(1, self.components)  # [N, 2 l + 1, c]
            parts.append(tensors @ gates.transpose(1, 2))
        return torch.stack(parts).sum(0)

    def extra_repr(self) -> str:
        return f"degree={self.degree}, num_properties={self.gate_shape[0]}"


class CartesianBlock(torch.nn.Module):
    r"""Cartesian tensors of rank two, as the sum of their irreducible parts.

    .. math::

        t_i^{ab} = \sum_{\lambda=0}^{2} \sum_\mu C^{\lambda\mu}_{1a, 1b} \,
        t_i^{\lambda\mu}

    The antisymmetric part, of degree 1, is a pseudovector.

    :param sizes: sizes of the features, of degree two at least
    :param num_properties: number of tensors per atom
    """

    def __init__(self, sizes: Sizes, num_properties: int) -> None:
        super().__init__()
        self.scalar = ScalarBlock(sizes, num_properties)
        self.pseudovector = SphericalBlock(sizes, 1, True, num_properties, [0, 1, 2])
        self.symmetric = SphericalBlock(sizes, 2, False, num_properties, [*range(5)])
        # Components of degree 1 are y, z, x.
        basis = clebsch_gordan(1, 1, 2)[1:, 1:][[2, 0, 1]][:, [2, 0, 1]]
        self.register_buffer("basis", basis, persistent=False)  # [3, 3, 9]

    def forward(
        self, features: list[torch.Tensor], spherical: list[torch.Tensor]
    ) -> torch.Tensor:
        """``[N, 3, 3, properties]``"""
        parts = [
            self.scalar(features, spherical),
            self.pseudovector(features, spherical),
            self.symmetric(features, spherical),
        ]
        basis = self.basis.to(parts[0].dtype)
        return torch.einsum("abm,nmp->nabp", basis, torch.cat(parts, dim=1))


class PseudoTensors(torch.nn.Module):
    """Pseudotensors of all degrees, as triple products of true tensors.

    :param max_degree: highest degree ``L`` of the true tensors
    :param max_degree_out: highest degree of the pseudotensors
    :param num_channels: number of channels ``c``
    """

    def __init__(self, max_degree: int, max_degree_out: int, num_channels: int) -> None:
        super().__init__()
        self.mix = linear(num_channels, num_channels, bias=False)
        self.cross = TensorProduct(
            max_degree, max_degree, max_degree, num_channels, pseudo=True
        )
        self.product = TensorProduct(max_degree, max_degree, max_degree_out, num_channels)

    def forward(self, tensors: torch.Tensor) -> torch.Tensor:
        """``[N, M, c] -> [N, M_out, c]``"""
        return self.product(self.cross(tensors, self.mix(tensors)), tensors.flip(2))


def scalar_readout(sizes: Sizes) -> Readout:
    """Readout of one scalar per atom, such as the energy."""
    return Readout(sizes, [ScalarBlock(sizes, 1)])
