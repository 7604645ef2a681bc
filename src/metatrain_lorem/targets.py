"""Readouts that match the layout of metatrain's targets."""

from collections.abc import Iterable

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatrain.composition import CompositionModel
from metatrain.utils.data import DatasetInfo, TargetInfo
from metatrain.utils.data.atom_pair_helpers import check_no_atom_pair_targets

from .network.lorem import Network
from .network.readout import CartesianBlock, Readout, ScalarBlock, SphericalBlock


# Variants of the energy, in the words of metatomic
PARTS = {
    "energy/short_range": "energy of atoms that do not feel the charges of others",
    "energy/long_range": "energy minus its short-range part",
}


class TargetReadout(Readout):
    """Readout for a target of scalars, spherical tensors, Cartesian vectors or matrices.

    :param name: name of the target
    :param target: its layout
    :param network: the network whose features are read out
    :raises ValueError: for other targets, naming target and reason
    """

    # TorchScript reads the types of containers here.
    keys: Labels
    components: list[list[Labels]]
    properties: list[Labels]

    def __init__(self, name: str, target: TargetInfo, network: Network) -> None:
        blocks = _make_blocks(name, target, network)
        super().__init__(network.sizes, blocks)
        self.keys = target.layout.keys
        self.components = [block.components for block in target.layout.blocks()]
        self.properties = [block.properties for block in target.layout.blocks()]

    def target_map(
        self, features: list[torch.Tensor], spherical: list[torch.Tensor], samples: Labels
    ) -> TensorMap:
        """Predictions for each atom, in the layout of the target.

        :param features: result of :meth:`.readout.Readout.features`
        :param spherical: spherical features of each stage, each ``[N, M, c]``
        :param samples: labels of the ``N`` atoms
        """
        self._labels_to(samples.device)
        blocks: list[TensorBlock] = []
        for i, values in enumerate(self(features, spherical)):
            if len(self.components[i]) == 0:
                values = values.squeeze(1)
            blocks.append(
                TensorBlock(values, samples, self.components[i], self.properties[i])
            )
        return TensorMap(self.keys, blocks)

    def _labels_to(self, device: torch.device) -> None:
        """Metatensor's labels are not moved by ``torch.nn.Module.to``."""
        if self.keys.device != device:
            self.keys = self.keys.to(device)
            self.components = [[x.to(device) for x in block] for block in self.components]
            self.properties = [x.to(device) for x in self.properties]


def is_charge(name: str, target: TargetInfo) -> bool:
    """Whether a target is `charge` of metatomic, or a variant such as `charge/mbis`.

    :raises ValueError: if it is, but not one scalar for each atom
    """
    if name.split("/")[0] != "charge":
        return False
    is_one = target.is_scalar and len(target.layout.block().properties) == 1
    if not is_one or target.sample_kind != "atom":
        raise ValueError(
            f"target '{name}' has to be one scalar for each atom: a total charge is an "
            "input, not a target"
        )
    return True


def baseline_of(
    info: DatasetInfo, atomic_types: list[int], has_long_range: bool
) -> CompositionModel:
    """Baseline of the targets that have one.

    Charges that atoms exchange have none: those of the network are those of the data.
    """
    targets = {
        name: target
        for name, target in info.targets.items()
        if not (has_long_range and is_charge(name, target))
    }
    info = DatasetInfo(info.length_unit, info.atomic_types, targets)
    return CompositionModel.from_valid_targets(info, atomic_types)


def check_name(name: str, outputs: Iterable[str]) -> None:
    """:raises ValueError: for names that torch or the outputs of every model forbid

    :param outputs: names that are taken
    """
    if "." in name:
        raise ValueError(f"target '{name}': names of targets must not contain '.'")
    taken = name in outputs or name in ("features", *PARTS)
    if taken or name.startswith("mtt::aux::"):
        raise ValueError(
            f"target '{name}' is named like an output that models have anyway: choose "
            "another name, such as 'mtt::own'"
        )


def _make_blocks(name: str, target: TargetInfo, network: Network) -> list[torch.nn.Module]:
    check_no_atom_pair_targets({name: target}, "metatrain_lorem")
    if target.is_atomic_basis:
        raise ValueError(f"target '{name}': atomic-basis targets are not supported")
    if target.is_cartesian and len(target.layout.block().components) > 2:
        raise ValueError(f"target '{name}': Cartesian tensors must have rank 1 or 2")
    if "non_conservative_stress" in name:
        raise ValueError(
            f"target '{name}' is not supported: the stress is a derivative of the energy, "
            "whose section in the options takes `stress` or `virial`"
        )
    blocks: list[torch.nn.Module] = []
    for key, block in target.layout.items():
        degree, sigma = 0, 1
        if target.is_cartesian:
            degree = len(block.components)  # the rank
        elif target.is_spherical:
            if "o3_lambda" not in key.names or len(block.components) != 1:
                raise ValueError(
                    f"target '{name}': products of spherical tensors are not supported"
                )
            degree, sigma = int(key["o3_lambda"]), int(key["o3_sigma"])
        blocks.append(_make_block(name, target, block, degree, sigma, network))
    return blocks


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
        return ScalarBlock(network.sizes, num_properties)
    if degree > network.sizes.max_degree:
        raise ValueError(
            f"target '{name}' has degree {degree}, above the model's max_degree of "
            f"{network.sizes.max_degree}"
        )
    if target.is_cartesian and degree == 2:
        return CartesianBlock(network.sizes, num_properties)
    # Components of degree 1 are y, z, x.
    order = [2, 0, 1] if target.is_cartesian else list(range(2 * degree + 1))
    return SphericalBlock(network.sizes, degree, sigma == -1, num_properties, order)
