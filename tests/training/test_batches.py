"""Batches: prepared once, of the wanted sizes, from memory and from disk."""

from typing import Any

import pytest
import torch
from helpers.training_tools import (
    dimers,
    small_model,
    train,
    training_hypers,
    types_of,
)
from helpers.training_tools import split as split_dataset
from metatrain.utils.data import DiskDataset
from metatrain.utils.data.writers import DiskDatasetWriter
from torch.utils.data import Subset

from metatrain_lorem.trainer import Trainer
from metatrain_lorem.training import baseline as baseline_module
from metatrain_lorem.training import batches as batches_module
from metatrain_lorem.training.baseline import preparation
from metatrain_lorem.training.batch import Batch, Conversion, join, split
from metatrain_lorem.training.batches import (
    Batches,
    PreparedDataset,
    training_batches,
    validation_batches,
)


def test_neighbor_lists_are_computed_once(monkeypatch):
    """Per structure, however many epochs there are; the user's data stay as they were."""
    make_transform = baseline_module.get_system_with_neighbor_lists_transform
    counts: dict[int, int] = {}

    def counting(requests: Any) -> Any:
        transform = make_transform(requests)

        def counted(systems: Any, targets: Any, extra: Any) -> Any:
            for system in systems:
                key = hash(system.positions.numpy().tobytes())
                counts[key] = counts.get(key, 0) + 1
            return transform(systems, targets, extra)

        return counted

    name = "get_system_with_neighbor_lists_transform"
    monkeypatch.setattr(baseline_module, name, counting)
    dataset, targets = dimers(8)
    model = small_model(targets, types_of(dataset))
    trainer = Trainer(training_hypers(targets, num_epochs=3, batch_size=2))
    train(model, trainer, *split_dataset(dataset, 3))
    assert len(counts) == 8
    assert set(counts.values()) == {1}
    assert all(not dataset[i]["system"].known_neighbor_lists() for i in range(8))


def test_data_on_disk(tmp_path, monkeypatch):
    """Read while training, by this or by another process: the same model."""
    dataset, targets = dimers(6)
    writer = DiskDatasetWriter(str(tmp_path / "data.zip"))
    for i in range(len(dataset)):
        writer.write([dataset[i]["system"]], {"energy": dataset[i]["energy"]})
    writer.finish()
    disk = DiskDataset(str(tmp_path / "data.zip"))
    monkeypatch.setattr(batches_module, "get_num_workers", lambda: 0)  # of `None`
    expected: dict[str, torch.Tensor] = {}
    for data, num_workers in ((dataset, 0), (disk, 0), (disk, 1), (disk, None)):
        model = small_model(targets, types_of(dataset))
        hypers = training_hypers(targets, num_workers=num_workers, batch_size=2)
        torch.manual_seed(3)
        train(model, Trainer(hypers), [data], [data], dtype=torch.float64)
        for name, parameter in model.named_parameters():
            reference = expected.setdefault(name, parameter)
            torch.testing.assert_close(parameter, reference, rtol=1e-9, atol=1e-9)


def test_little_memory(monkeypatch):
    """Structures beyond the limit are prepared anew: bit for bit the same."""
    dataset, targets = dimers(10)
    how = preparation_of(targets, dataset)
    monkeypatch.setattr(batches_module, "TOGETHER", 4)
    kept, rest = (PreparedDataset(dataset, *how) for _ in range(2))
    expected = [kept[i] for i in range(10)]
    monkeypatch.setattr(batches_module, "KEPT", 0)
    for _ in range(2):
        for i in (9, *range(9)):
            assert_same_batch(rest[i], expected[i])
    assert (kept.num_kept(), rest.num_kept()) == (10, 2)
    for one, other in zip(split(join(expected)), expected, strict=True):
        assert_same_batch(one, other)


def assert_same_batch(one: Batch, other: Batch) -> None:
    for first, second in zip(one.graph, other.graph, strict=True):
        assert first is second or torch.equal(first, second)  # None: no states
    for first, second in zip(one.targets["energy"], other.targets["energy"], strict=True):
        assert torch.equal(first.values, second.values)
        forces = [block.gradient("positions").values for block in (first, second)]
        assert torch.equal(*forces)
    assert (one.num_atoms, one.complete) == (other.num_atoms, other.complete)


@pytest.mark.parametrize("options", [{}, {"max_atoms_per_batch": 40}])
def test_sizes_of_batches(options):
    dataset, targets = dimers(6)
    model = small_model(targets, types_of(dataset))
    trainer = Trainer(training_hypers(targets, batch_size=4, **options))
    train(model, trainer, [dataset], [dataset])
    assert 0 < trainer.best_metric < float("inf")


def preparation_of(targets: Any, dataset: Any) -> tuple[list[Any], Conversion]:
    """Transforms and conversion, as the trainer makes them."""
    model = small_model(targets, types_of(dataset))
    conversion = Conversion(targets, [], model.neighbor_options)
    return preparation(model, torch.device("cpu")), conversion


def order_of_epoch(batches: Batches, epoch: int) -> list[float]:
    """A number for each structure, in the order of their batches of one."""
    return [float(batch.graph.positions.abs().sum()) for batch in batches.epoch(epoch)]


def test_order_of_batches():
    """Fixed by seed and epoch: within each of two data sets, and between them."""
    dataset, targets = dimers(10)
    parts = [Subset(dataset, range(4)), Subset(dataset, range(4, 10))]
    hypers = training_hypers(targets, batch_size=1)
    how = preparation_of(targets, dataset)

    def make(seed: int) -> Batches:
        return training_batches(parts, *how, hypers, 0, 1, seed)

    orders = [order_of_epoch(make(3), epoch) for epoch in range(4)]
    sizes = [float(s["system"].positions.abs().sum()) for s in dataset]
    turns = [[sizes.index(size) < 4 for size in order] for order in orders]
    for order in orders:
        assert sorted(order) == sorted(sizes)
    assert order_of_epoch(make(3), 2) == orders[2]
    assert order_of_epoch(make(4), 2) != orders[2]
    within = {tuple(size for size in order if sizes.index(size) >= 4) for order in orders}
    assert len(within) > 1
    assert len({tuple(turn) for turn in turns}) > 1


def test_batches_of_atoms():
    """No batch exceeds the limit, each structure is in one; same seed, same batches."""
    dataset, targets = dimers(12)
    how = preparation_of(targets, dataset)
    hypers = training_hypers(targets, max_atoms_per_batch=40)

    def make(seed: int) -> Batches:
        return training_batches([dataset], *how, hypers, 0, 1, seed)

    batches = make(3)
    sizes = [batch.num_atoms for batch in batches.epoch(0)]
    assert len(sizes) == len(batches) < 12
    assert max(int(size.sum()) for size in sizes) <= 40
    expected = sorted(len(dataset[i]["system"]) for i in range(12))
    assert sorted(torch.cat(sizes).tolist()) == expected
    for epoch in (1, 0):
        again = zip(batches.epoch(epoch), make(3).epoch(epoch), strict=True)
        for one, other in again:
            assert torch.equal(one.graph.positions, other.graph.positions)


def test_validation_in_order():
    """Each structure once, and in exactly one of several processes."""
    dataset, targets = dimers(7)
    hypers = training_hypers(targets, batch_size=1)
    sizes = [float(s["system"].positions.abs().sum()) for s in dataset]
    how = preparation_of(targets, dataset)
    for world_size in (1, 2):
        shares = [
            validation_batches([dataset], *how, hypers, rank, world_size)
            for rank in range(world_size)
        ]
        orders = [order_of_epoch(batches, 0) for batches in shares]
        assert orders == [sizes[rank::world_size] for rank in range(world_size)]
