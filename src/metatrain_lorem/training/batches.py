"""Batches of structures and targets for training.

Neighbor lists, composition baseline and scales do not change while a model trains, so
structures in memory are prepared once, when they are first used; collating a batch is
then a concatenation. Data sets on disk, which may exceed the memory, are prepared on
the fly by worker processes.
"""

import random
from collections.abc import Callable, Iterator, Mapping
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


AnyDataset: TypeAlias = Dataset | Subset
TensorMaps: TypeAlias = dict[str, TensorMap]
# systems, targets, extra data
Batch: TypeAlias = tuple[list[System], TensorMaps, TensorMaps]
Transform: TypeAlias = Callable[[list[System], TensorMaps, TensorMaps], Batch]


class PreparedDataset(torch.utils.data.Dataset):
    """A data set in memory whose samples are transformed once, when first used.

    :param dataset: samples with a field ``system`` and one field for each target
    :param target_names: fields that hold targets; all others are extra data
    :param transforms: applied to each sample as to a batch of one structure
    """

    def __init__(
        self,
        dataset: AnyDataset,
        target_names: list[str],
        transforms: list[Transform],
    ) -> None:
        self.dataset = dataset
        self.target_names = target_names
        self.transforms = transforms
        self.samples: list[Any] = [None] * len(dataset)

    def __len__(self) -> int:
        return len(self.samples)

    def get_num_atoms(self, index: int) -> int:
        """Number of atoms of one structure, read by metatrain's batch samplers."""
        return len(self.dataset[index]["system"])

    def __getitem__(self, index: int) -> Any:
        if self.samples[index] is None:
            self.samples[index] = self._prepare(self.dataset[index])
        return self.samples[index]

    def _prepare(self, sample: Any) -> Any:
        systems, targets, extra_data = self.collate([sample])
        # a copy: the user's structures keep no neighbor lists
        systems = [systems[0].to(dtype=systems[0].positions.dtype)]
        for transform in self.transforms:
            systems, targets, extra_data = transform(systems, targets, extra_data)
        return sample._replace(system=systems[0], **targets, **extra_data)

    def collate(self, samples: list[Any]) -> Batch:
        """Concatenate samples to a batch, without a copy through shared memory."""
        joined = group_and_join(samples, join_kwargs={"different_keys": "union"})
        data = joined._asdict()
        systems = list(data.pop("system"))
        targets = {name: data.pop(name) for name in self.target_names if name in data}
        return systems, targets, data


class Batches:
    """Batches of one or several data sets, in an order fixed by seed and epoch alone.

    :param loaders: one loader for each data set
    :param samplers: samplers whose order depends on the epoch
    :param seed: seed of the order between data sets; ``None`` takes them in turn
    """

    def __init__(
        self, loaders: list[DataLoader], samplers: list[Any], seed: int | None = None
    ) -> None:
        self.loaders = loaders
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
            yield batch if in_memory else unpack_batch(batch)


def training_batches(
    datasets: list[AnyDataset],
    target_names: list[str],
    transforms: list[Transform],
    hypers: Mapping[str, Any],
    rank: int,
    world_size: int,
    seed: int,
) -> Batches:
    """Shuffled batches, shared out evenly between ``world_size`` processes."""
    loaders, samplers = [], []
    for dataset in datasets:
        dataset, collate, num_workers = _access(
            dataset, target_names, transforms, hypers["num_workers"]
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
    return Batches(loaders, samplers, seed)


def validation_batches(
    datasets: list[AnyDataset],
    target_names: list[str],
    transforms: list[Transform],
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
            dataset, target_names, transforms, hypers["num_workers"]
        )
        loaders += build_val_dataloaders(
            [dataset],
            [None],
            collate,
            hypers["batch_size"],
            hypers["max_atoms_per_batch"],
            num_workers,
        )
    return Batches(loaders, samplers=[])


def _access(
    dataset: AnyDataset,
    target_names: list[str],
    transforms: list[Transform],
    num_workers: int | None,
) -> tuple[Any, Any, int]:
    """How to read a data set: the data set, its collate function, number of workers."""
    source = dataset
    while isinstance(source, Subset):
        source = source.dataset
    if not isinstance(source, (DiskDataset, MemmapDataset)):
        prepared = PreparedDataset(dataset, target_names, transforms)
        return prepared, prepared.collate, 0
    if num_workers is None:
        num_workers = get_num_workers()
    validate_num_workers(num_workers)
    return dataset, CollateFn(target_names, transforms), num_workers
