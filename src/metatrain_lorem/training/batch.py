"""A batch of structures and targets as plain tensors: all that a training step reads."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from metatensor.torch import TensorBlock, TensorMap
from metatomic.torch import NeighborListOptions, System
from metatrain.utils.data import TargetInfo

from ..graph import Graph
from ..systems import graph_of_systems


class Block:
    """Values of one block of a target, ``[rows, components ..., properties]``.

    Rows are structures or atoms. The names are those of metatensor's blocks, by which
    metatrain's losses read them; nothing is checked or copied here.

    :param gradients: with respect to ``positions`` (a row per atom) and ``strain``
    """

    def __init__(
        self, values: torch.Tensor, gradients: Mapping[str, "Block"] | None = None
    ) -> None:
        self.values = values
        self.parts = dict(gradients or {})

    def gradient(self, name: str) -> "Block":
        return self.parts[name]

    def gradients_list(self) -> list[str]:
        return list(self.parts)


class Blocks(list[Block]):
    """All blocks of a target, in the order of its layout, as a map from their numbers."""

    @property
    def keys(self) -> range:
        return range(len(self))

    def block(self, key: int = 0) -> Block:
        return self[key]


Part = Callable[..., torch.Tensor]


def mapped(function: Part, *maps: Blocks) -> Blocks:
    """Apply a function to the tensors of one or more maps that are in the same place."""
    results = Blocks()
    for blocks in zip(*maps, strict=True):
        gradients = {
            name: Block(function(*(block.gradient(name).values for block in blocks)))
            for name in blocks[0].gradients_list()
        }
        values = function(*(block.values for block in blocks))
        results.append(Block(values, gradients))
    return results


class Batch(NamedTuple):
    """``S`` structures with their targets, divided by scales and numbers of atoms."""

    graph: Graph
    num_atoms: torch.Tensor  # [S]
    targets: dict[str, Blocks]
    masks: dict[str, Blocks]  # named as metatrain's losses want it: `TARGET_mask`
    complete: bool  # whether no label is NaN

    def to(self, dtype: torch.dtype, device: torch.device) -> "Batch":
        """The same on another device, with floating-point numbers of another type."""

        def move(values: torch.Tensor) -> torch.Tensor:
            kind = dtype if values.is_floating_point() else values.dtype
            return values.to(device=device, dtype=kind, non_blocking=True)

        return Batch(
            Graph(*(None if x is None else move(x) for x in self.graph)),
            move(self.num_atoms),
            {name: mapped(move, blocks) for name, blocks in self.targets.items()},
            {name: mapped(move, blocks) for name, blocks in self.masks.items()},
            self.complete,
        )

    def system(self, index: int) -> System:
        """One of the structures."""
        graph, atoms = self.graph, self.graph.systems == index
        types = graph.species[atoms].to(torch.int32)
        return System(types, graph.positions[atoms], graph.cells[index], graph.pbc[index])


def join(samples: list[Batch]) -> Batch:
    """Concatenate batches of one structure each."""
    graphs = [sample.graph for sample in samples]
    num_atoms = torch.cat([sample.num_atoms for sample in samples])
    num_pairs = torch.tensor([len(graph.centers) for graph in graphs])
    starts = (num_atoms.cumsum(0) - num_atoms).repeat_interleave(num_pairs)
    fields = zip(*graphs, strict=True)
    graph = Graph(*(None if x[0] is None else torch.cat(x) for x in fields))
    graph = graph._replace(
        systems=torch.arange(len(samples)).repeat_interleave(num_atoms),
        centers=graph.centers + starts,
        neighbors=graph.neighbors + starts,
    )
    targets, masks = (
        {name: mapped(_cat, *(maps[name] for maps in all_maps)) for name in all_maps[0]}
        for all_maps in ([s.targets for s in samples], [s.masks for s in samples])
    )
    complete = all(sample.complete for sample in samples)
    return Batch(graph, num_atoms, targets, masks, complete)


def split(batch: Batch) -> list[Batch]:
    """Batches of one structure each, the inverse of :func:`join`."""
    graph, num_atoms = batch.graph, batch.num_atoms
    atoms, ones = num_atoms.tolist(), [1] * len(num_atoms)
    of_pairs = graph.systems[graph.centers]
    pairs = torch.bincount(of_pairs, minlength=len(ones)).tolist()
    starts = num_atoms.cumsum(0) - num_atoms
    local = graph._replace(
        systems=torch.zeros_like(graph.systems),
        centers=graph.centers - starts[of_pairs],
        neighbors=graph.neighbors - starts[of_pairs],
    )
    sizes = Graph(atoms, atoms, ones, ones, atoms, pairs, pairs, pairs, ones)
    fields = [
        [None] * len(ones) if x is None else x.split(size)
        for x, size in zip(local, sizes, strict=True)
    ]
    graphs = [Graph(*parts) for parts in zip(*fields, strict=True)]

    def one(maps: dict[str, Blocks], i: int) -> dict[str, Blocks]:
        def rows(values: torch.Tensor) -> torch.Tensor:  # of structures or atoms
            is_of_atoms = len(values) == len(graph.systems)
            return values.split(atoms if is_of_atoms else ones)[i]

        return {name: mapped(rows, blocks) for name, blocks in maps.items()}

    samples = []
    for i, own in enumerate(graphs):
        targets, masks = one(batch.targets, i), one(batch.masks, i)
        complete = batch.complete or not any(map(_has_nan, targets.values()))
        samples.append(Batch(own, num_atoms[i : i + 1], targets, masks, complete))
    return samples


def _cat(*parts: torch.Tensor) -> torch.Tensor:
    return torch.cat(parts)


class Conversion:
    """From metatomic's systems and metatensor's maps to a :class:`Batch`.

    :param targets: descriptions of the targets
    :param per_structure: targets that are not divided by the number of atoms
    :param neighbors: neighbor list of the systems
    :param largest_states: largest total charge and spin multiplicity, for models that know
        them
    """

    def __init__(
        self,
        targets: Mapping[str, TargetInfo],
        per_structure: list[str],
        neighbors: NeighborListOptions,
        largest_states: tuple[int, int] | None = None,
    ) -> None:
        self.keys = {name: info.layout.keys for name, info in targets.items()}
        self.averages = {
            name: info.sample_kind == "system" and name not in per_structure
            for name, info in targets.items()
        }
        self.neighbors = neighbors
        self.largest_states = largest_states

    def __call__(
        self,
        systems: list[System],
        targets: Mapping[str, TensorMap],
        extra_data: Mapping[str, TensorMap],
    ) -> Batch:
        """Targets that the model does not know, and extra data but masks, are left out."""
        graph = graph_of_systems(systems, self.neighbors, self.largest_states)
        num_atoms = torch.tensor([len(system) for system in systems])
        labels = {}
        for name in targets:
            if name in self.keys:
                blocks = self._blocks(name, targets[name])
                labels[name] = self.averaged(name, blocks, num_atoms)
        masks = {}
        for name in labels:
            key = f"{name}_mask"
            if key in extra_data:
                is_valid = self._blocks(name, extra_data[key])
                masks[key] = mapped(torch.Tensor.bool, is_valid)
        complete = not any(map(_has_nan, labels.values()))
        return Batch(graph, num_atoms, labels, masks, complete)

    def averaged(self, name: str, blocks: Blocks, num_atoms: torch.Tensor) -> Blocks:
        """Values of structures, and their derivatives by the strain, per atom."""
        if not self.averages[name]:
            return blocks

        def average(values: torch.Tensor) -> torch.Tensor:
            return values / num_atoms.view([-1] + [1] * (values.dim() - 1))

        results = Blocks()
        for block in blocks:
            gradients = {
                key: part if key == "positions" else Block(average(part.values))
                for key, part in block.parts.items()
            }
            results.append(Block(average(block.values), gradients))
        return results

    def _blocks(self, name: str, values: TensorMap) -> Blocks:
        return Blocks(_block(values.block(key)) for key in self.keys[name])


def _has_nan(blocks: Blocks) -> bool:
    parts = [part for block in blocks for part in (block, *block.parts.values())]
    return any(bool(part.values.isnan().any()) for part in parts)


def _block(block: TensorBlock) -> Block:
    gradients = {name: Block(part.values) for name, part in block.gradients()}
    return Block(block.values, gradients)
