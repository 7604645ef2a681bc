"""Batches of structures and targets for training.

Neighbor lists, composition baseline and scales do not change while a model trains, so
structures in memory are prepared once, when they are first used, and kept as plain
tensors; collating a batch is then a concatenation. Data sets on disk, which may exceed
the memory, are prepared on the fly by worker processes.
"""

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from metatensor.learn.data import group_and_join
from metatensor.torch import TensorMap
from metatomic.torch import System
from metatrain.utils.data import (
    CollateFn,
    Dataset,
    build_train_dataloaders,
    build_val_dataloaders,
    get_num_workers,
    unpack_batch,
    validate_num_workers,
)
from metatrain.utils.data.dataset import DiskDataset, MemmapDataset
from torch.utils.data import DataLoader, DistributedSampler, Subset

from .batch import Batch, Conversion, join, split


AnyDataset: TypeAlias = Dataset | Subset
TensorMaps: TypeAlias = dict[str, TensorMap]
# systems, targets, extra data
Maps: TypeAlias = tuple[list[System], TensorMaps, TensorMaps]
Transform: TypeAlias = Callable[[list[System], TensorMaps, TensorMaps], Maps]


# Structures that are prepared at once: metatensor takes as long for one as for some
TOGETHER = 32
# Bytes of prepared structures to keep; beyond, they are prepared whenever they are used
KEPT = 16 * 2**30


class PreparedDataset(torch.utils.data.Dataset):
    """A data set in memory whose samples are transformed once, when first used.

    :param dataset: samples with a field ``system`` and one field for each target
    :param transforms: applied to each sample as to a batch of one structure
    :param conversion: of the result
    """

    def __init__(
        self,
        dataset: AnyDataset,
        transforms: list[Transform],
        conversion: Conversion,
    ) -> None:
        self.dataset = dataset
        self.transforms = transforms
        self.conversion = conversion
        self.samples: list[Batch | None] = [None] * len(dataset)
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self.samples)

    def get_num_atoms(self, index: int) -> int:
        """Number of atoms of one structure, read by metatrain's batch samplers."""
        return len(self.dataset[index]["system"])

    def __getitem__(self, index: int) -> Batch:
        sample = self.samples[index]
        if sample is not None:
            return sample
        if self.num_bytes > KEPT:
            return self._prepare([index])[0]
        start = index - index % TOGETHER
        end = min(start + TOGETHER, len(self))
        prepared = self._prepare(range(start, end))
        self.samples[start:end] = prepared
        graphs = [sample.graph for sample in prepared]
        self.num_bytes += sum(
            values.nbytes for graph in graphs for values in graph if values is not None
        )
        if self.num_bytes > KEPT:
            logging.warning(
                f"{KEPT / 2**30:.0f} GiB hold the neighbor lists of {self.num_kept()} of "
                f"{len(self)} structures: those of all others are found anew in each epoch"
            )
        return prepared[index - start]

    def num_kept(self) -> int:
        return sum(sample is not None for sample in self.samples)

    def _prepare(self, indices: Sequence[int]) -> list[Batch]:
        samples = [self.dataset[i] for i in indices]
        joined = group_and_join(samples, join_kwargs={"different_keys": "union"})
        data = joined._asdict()
        # a copy: the user's structures keep no neighbor lists
        systems = [system.to(dtype=system.positions.dtype) for system in data.pop("system")]
        names = [name for name in self.conversion.keys if name in data]
        maps = systems, {name: data.pop(name) for name in names}, data
        for transform in self.transforms:
            maps = transform(*maps)
        return split(self.conversion(*maps))


class Batches:
    """Batches of one or several data sets, in an order fixed by seed and epoch alone.

    :param loaders: one loader for each data set
    :param samplers: samplers whose order depends on the epoch
    :param conversion: of the batches that come from the disk
    :param seed: seed of the order between data sets; ``None`` takes them in turn
    """

    def __init__(
        self,
        loaders: list[DataLoader],
        samplers: list[Any],
        conversion: Conversion,
        seed: int | None = None,
    ) -> None:
        self.loaders = loaders
        self.conversion = conversion
        self.samplers = samplers
        self.seed = seed

    def __len__(self) -> int:
        return sum(len(loader) for loader in self.loaders)

    def describe(self) -> str:
        """Size of the data sets; atoms are counted in memory only."""
        datasets = [loader.dataset for loader in self.loaders]
        text = f"{sum(map(len, datasets))} structures"
        if all(isinstance(dataset, PreparedDataset) for dataset in datasets):
            num_atoms = sum(
                dataset.get_num_atoms(i)
                for dataset in datasets
                for i in range(len(dataset))
            )
            text += f" ({num_atoms} atoms)"
        return f"{text}, {len(self)} steps per epoch"

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield all batches of an epoch."""
        for sampler in self.samplers:
            sampler.set_epoch(epoch)
        turns = [i for i, loader in enumerate(self.loaders) for _ in range(len(loader))]
        if self.seed is not None:
            random.Random(self.seed + epoch).shuffle(turns)
        iterators = [iter(loader) for loader in self.loaders]
        for i in turns:
            batch = next(iterators[i])
            in_memory = isinstance(self.loaders[i].dataset, PreparedDataset)
            yield batch if in_memory else self.conversion(*unpack_batch(batch))


def training_batches(
    datasets: list[AnyDataset],
    transforms: list[Transform],
    conversion: Conversion,
    hypers: Mapping[str, Any],
    rank: int,
    world_size: int,
    seed: int,
) -> Batches:
    """Shuffled batches, shared out evenly between ``world_size`` processes."""
    loaders, samplers = [], []
    for dataset in datasets:
        dataset, collate, num_workers = _access(
            dataset, transforms, conversion, hypers["num_workers"]
        )
        sampler = DistributedSampler(
            dataset, world_size, rank, shuffle=True, seed=seed, drop_last=True
        )
        new_loaders, new_samplers = build_train_dataloaders(
            [dataset],
            [sampler],
            collate,
            hypers["batch_size"],
            hypers["max_atoms_per_batch"],
            hypers["min_atoms_per_batch"],
            num_workers,
        )
        loaders += new_loaders
        samplers += new_samplers
    return Batches(loaders, samplers, conversion, seed)


def validation_batches(
    datasets: list[AnyDataset],
    transforms: list[Transform],
    conversion: Conversion,
    hypers: Mapping[str, Any],
    rank: int,
    world_size: int,
) -> Batches:
    """Batches in order; each structure goes to exactly one of the processes."""
    loaders = []
    for dataset in datasets:
        if world_size > 1:
            dataset = Subset(dataset, range(rank, len(dataset), world_size))
        dataset, collate, num_workers = _access(
            dataset, transforms, conversion, hypers["num_workers"]
        )
        loaders += build_val_dataloaders(
            [dataset],
            [None],
            collate,
            hypers["batch_size"],
            hypers["max_atoms_per_batch"],
            num_workers,
        )
    return Batches(loaders, [], conversion)


def _access(
    dataset: AnyDataset,
    transforms: list[Transform],
    conversion: Conversion,
    num_workers: int | None,
) -> tuple[Any, Any, int]:
    """How to read a data set: the data set, its collate function, number of workers."""
    source = dataset
    while isinstance(source, Subset):
        source = source.dataset
    if not isinstance(source, (DiskDataset, MemmapDataset)):
        return PreparedDataset(dataset, transforms, conversion), join, 0
    if num_workers is None:
        num_workers = get_num_workers()
    validate_num_workers(num_workers)
    collate = CollateFn(list(conversion.keys), transforms)
    return dataset, collate, num_workers
