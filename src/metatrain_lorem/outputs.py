"""From tensors to metatensor's maps: selection of atoms, sums, baselines."""

from typing import Optional

import metatensor.torch as mts
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import ModelOutput
from metatrain.utils.sum_over_atoms import sum_over_atoms

from .ops.rows import mean_rows, take_rows


def atom_map(values: torch.Tensor, samples: Labels, name: str) -> TensorMap:
    """A map with one row per atom and one property per column, ``[N, columns]``.

    :param name: name of the property dimension
    """
    columns = torch.arange(values.shape[1], device=values.device).unsqueeze(1)
    block = TensorBlock(
        values=values,
        samples=samples,
        components=[],
        properties=Labels([name], columns, assume_unique=True),
    )
    # Labels.single() cannot be saved by TorchScript.
    keys = Labels(["_"], torch.zeros(1, 1, dtype=torch.int64, device=values.device))
    return TensorMap(keys, [block])


def energy_parts(energy: TensorMap, short_range: TensorMap) -> dict[str, TensorMap]:
    """Parts of an energy, in float64, so that they add up to it.

    :param energy: of each atom
    :param short_range: the same, where atoms feel no potentials
    """
    energy = energy.to(dtype=torch.float64)
    short_range = short_range.to(dtype=torch.float64)
    return {
        "energy/short_range": short_range,
        "energy/long_range": mts.subtract(energy, short_range),
    }


def keep_requested(
    maps: dict[str, TensorMap], outputs: dict[str, ModelOutput]
) -> dict[str, TensorMap]:
    """Only those that somebody asked for."""
    requested: dict[str, TensorMap] = {}
    for name, values in maps.items():
        if name in outputs:
            requested[name] = values
    return requested


def without_mean(atoms: TensorMap, systems: torch.Tensor, num_systems: int) -> TensorMap:
    """Values of atoms minus their mean over each system, so that they add up to zero.

    :param atoms: one row per atom
    :param systems: index of the system of each atom, ``[N]``
    """
    blocks: list[TensorBlock] = []
    for block in atoms.blocks():
        values = centered(block.values, systems, num_systems)
        blocks.append(
            TensorBlock(values, block.samples, block.components, block.properties)
        )
    return TensorMap(atoms.keys, blocks)


def centered(values: torch.Tensor, systems: torch.Tensor, num_systems: int) -> torch.Tensor:
    """Rows of atoms minus their mean over each system; means are taken in float64.

    :param values: ``[N, ...]``
    :param systems: index of the system of each atom, ``[N]``
    """
    precise = values.to(torch.float64)
    means = mean_rows(precise, systems, num_systems)
    return (precise - take_rows(means, systems)).to(values.dtype)


def select_and_sum(
    atoms: TensorMap, sample_kind: str, selected_atoms: Optional[Labels]
) -> TensorMap:
    """Keep the selected atoms; sum over those of each system unless per atom."""
    if selected_atoms is not None:
        atoms = mts.slice(atoms, "samples", selected_atoms)
    if sample_kind == "atom":
        return atoms
    if selected_atoms is not None:
        # metatomic wants no row for a system without selected atoms
        return mts.sum_over_samples(atoms, "atom")
    return sum_over_atoms(atoms)


def add_matching_blocks(total: TensorMap, addition: TensorMap) -> TensorMap:
    """Add the blocks of ``addition`` to those of ``total`` with equal keys."""
    blocks: list[TensorBlock] = []
    for key, block in total.items():
        if key in addition.keys:
            other = addition.block(key).to(device=block.device, dtype=block.dtype)
            keys = Labels(key.names, key.values.unsqueeze(0))
            pair = mts.add(TensorMap(keys, [block.copy()]), TensorMap(keys, [other.copy()]))
            blocks.append(pair.block().copy())
        else:
            blocks.append(block.copy())
    return TensorMap(total.keys, blocks)
