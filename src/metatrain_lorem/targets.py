"""Readouts that match the layout of metatrain's targets."""

import torch
from metatensor.torch import TensorBlock
from metatrain.utils.data import TargetInfo
from metatrain.utils.data.atom_pair_helpers import check_no_atom_pair_targets

from .network import Network
from .readout import Readout, ScalarBlock, SphericalBlock


def make_readout(name: str, target: TargetInfo, network: Network) -> Readout:
    """Readout for a target of scalars, Cartesian vectors or spherical tensors.

    :raises ValueError: for other targets, naming target and reason
    """
    check_no_atom_pair_targets({name: target}, "metatrain_lorem")
    if target.is_atomic_basis:
        raise ValueError(f"target '{name}': atomic-basis targets are not supported")
    if target.is_cartesian and len(target.layout.block().components) != 1:
        raise ValueError(f"target '{name}': Cartesian tensors must have rank 1")
    blocks: list[torch.nn.Module] = []
    for key, block in target.layout.items():
        degree, sigma = 0, 1
        if target.is_cartesian:
            degree = 1
        elif target.is_spherical:
            if "o3_lambda" not in key.names or len(block.components) != 1:
                raise ValueError(
                    f"target '{name}': products of spherical tensors are not supported"
                )
            degree, sigma = int(key["o3_lambda"]), int(key["o3_sigma"])
        blocks.append(_make_block(name, target, block, degree, sigma, network))
    return Readout(network.num_stages, network.num_features, blocks)


def _make_block(
    name: str,
    target: TargetInfo,
    block: TensorBlock,
    degree: int,
    sigma: int,
    network: Network,
) -> torch.nn.Module:
    num_properties = len(block.properties)
    if degree == 0 and sigma == 1:
        return ScalarBlock(network.num_stages, network.num_features, num_properties)
    if degree > network.max_degree:
        raise ValueError(
            f"target '{name}' has degree {degree}, above the model's max_degree of "
            f"{network.max_degree}"
        )
    # Components of degree 1 are y, z, x.
    order = [2, 0, 1] if target.is_cartesian else list(range(2 * degree + 1))
    return SphericalBlock(
        network.num_stages,
        network.num_features,
        network.num_spherical_features,
        network.max_degree,
        degree,
        sigma == -1,
        num_properties,
        order,
    )
