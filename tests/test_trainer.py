"""Training: restarts, batches, losses, and what happens when something is wrong."""

from collections.abc import Callable
from typing import Any

import ase.io
import metatensor.torch as mts
import pytest
import torch
from helpers.command_line import mtt
from helpers.systems import (
    crystal,
    distant_atoms,
    lone_ion,
    molecule,
    single_atom,
    skewed_crystal,
    slab,
)
from helpers.training_tools import (
    DATA,
    DIMERS,
    assert_same_state,
    dimers,
    energy_info,
    make_dataset,
    read_dataset,
    small_model,
    split,
    target_info,
    train,
    training_hypers,
    types_of,
    with_muon,
    write_options,
)
from metatrain.utils.data import Dataset
from metatrain.utils.io import model_from_checkpoint, trainer_from_checkpoint

from metatrain_lorem.trainer import Trainer
from metatrain_lorem.training.batch import mapped
from metatrain_lorem.training.predictions import Predictor


# --- restarts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [("Adam", "linear"), pytest.param("Muon", "warmup_cosine", marks=with_muon)],
)
def test_restart_repeats_an_uninterrupted_run(optimizer, schedule, tmp_path):
    """Bit for bit, with structures in the same order and the best model the same."""
    dataset, targets = dimers(14)
    training, validation = split(dataset, 2)
    # Two data sets, so that there is also an order between them
    training = [torch.utils.data.Subset(training[0], range(*r)) for r in [(0, 5), (5, 12)]]
    hypers = training_hypers(
        targets,
        num_epochs=4,
        checkpoint_interval=1,
        batch_size=2,
        optimizer=optimizer,
        schedule=schedule,
        warmup_fraction=0.4,
        scale_targets=True,
    )
    model, trainer = small_model(targets, types_of(dataset)), Trainer(hypers)
    train(model, trainer, training, validation, tmp_path)

    checkpoint = torch.load(tmp_path / "model_1.ckpt", weights_only=False)
    torch.manual_seed(17)  # another process
    restarted = model_from_checkpoint(checkpoint, "restart").restart(model.dataset_info)
    other = trainer_from_checkpoint(checkpoint, "restart", hypers)
    assert other.epoch == 1
    train(restarted, other, training, validation)
    assert_same_state(model, restarted)
    assert other.epoch == trainer.epoch == 3
    assert other.best_epoch == trainer.best_epoch
    assert other.best_metric == trainer.best_metric
    for name, value in trainer.best_model_state_dict.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other.best_model_state_dict[name]), name


@pytest.mark.slow
def test_restart_on_the_command_line(tmp_path, monkeypatch):
    """``mtt train --restart auto`` after the loss of all but the first epoch."""
    training = "{num_epochs: 2, batch_size: 4, checkpoint_interval: 1}"
    options = write_options(tmp_path, "data.xyz", training)
    options.write_text(options.read_text() + "test_set: 0.1\n")
    ase.io.write(tmp_path / "data.xyz", ase.io.read(DIMERS, "::9"))
    mtt(monkeypatch, tmp_path, "train", "options.yaml")
    complete = torch.load(tmp_path / "model.ckpt", weights_only=False)
    assert complete["epoch"] == 1
    for path in [*tmp_path.glob("model.*"), *tmp_path.glob("outputs/*/*/*")]:
        if path.name not in ("model_0.ckpt", "composition_model.ckpt"):
            path.unlink() if path.is_file() else None

    mtt(monkeypatch, tmp_path, "train", "options.yaml", "--restart", "auto")
    restarted = torch.load(tmp_path / "model.ckpt", weights_only=False)
    assert restarted["epoch"] == 1
    assert restarted["best_epoch"] == complete["best_epoch"]
    for key in ("model_state_dict", "best_model_state_dict"):
        for name, value in complete[key].items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, restarted[key][name]), name


def test_zero_epochs():
    """The model is saved as it is; nothing divides by the number of steps."""
    dataset, targets = dimers(4)
    model = small_model(targets, types_of(dataset))
    trainer = Trainer(training_hypers(targets, num_epochs=0))
    train(model, trainer, [dataset], [dataset])
    assert trainer.epoch is None


def test_without_validation():
    """The latest model counts as the best one."""
    dataset, targets = dimers(4)
    model = small_model(targets, types_of(dataset))
    trainer = Trainer(training_hypers(targets, num_epochs=2))
    train(model, trainer, [dataset], [torch.utils.data.Subset(dataset, [])])
    assert trainer.best_epoch == 1


# --- batches ----------------------------------------------------------------------------


ENERGY = energy_info(gradients=("positions", "strain"))
TARGETS = {
    "energy": ENERGY,
    "energy/other": energy_info("energy/other"),
    "mtt::dipole": target_info("mtt::dipole", {"cartesian": {"rank": 1}}, "system"),
    "mtt::partial": target_info("mtt::partial", "scalar", "atom", number=2),
    "mtt::tensor": target_info(
        "mtt::tensor",
        {"spherical": {"irreps": [{"o3_lambda": l, "o3_sigma": 1} for l in (0, 2)]}},
        "atom",
    ),
}
MIXED = [
    single_atom(),
    distant_atoms(),
    molecule(),
    slab(),
    crystal(),
    lone_ion(),
    skewed_crystal(),
]


@pytest.mark.parametrize(
    ("names", "enable", "batch_size"),
    [(list(TARGETS), True, 1), (list(TARGETS), False, 7), (["energy"], True, 7)],
    ids=["all", "all, without long range", "energy"],
)
def test_mixed_data(names, enable, batch_size):
    """Every kind of structure and target, alone in a batch and together."""
    targets = {name: TARGETS[name] for name in names}
    dataset = make_dataset(MIXED, targets)
    model = small_model(targets, types_of(dataset), long_range={"enable": enable})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = Trainer(training_hypers(targets, batch_size=batch_size, scale_targets=True))
    train(model, trainer, [dataset], [dataset])
    assert 0 < trainer.best_metric < float("inf")
    for name, parameter in model.named_parameters():
        assert bool(torch.isfinite(parameter).all()), name
    for name in names:  # every readout learned something
        heads = [n for n, _ in model.named_parameters() if f"readouts.{name}." in n]
        assert any(not torch.equal(model.state_dict()[n], before[n]) for n in heads)


def test_data_sets_with_different_targets():
    """A data set without some target leaves the readout of that target alone."""
    first = make_dataset(MIXED[:4], {"energy": ENERGY})
    second = make_dataset(MIXED[4:], {"mtt::dipole": TARGETS["mtt::dipole"]})
    targets = {name: TARGETS[name] for name in ("energy", "mtt::dipole")}
    model = small_model(targets, types_of(first, second))
    trainer = Trainer(training_hypers(targets, batch_size=2, num_epochs=2))
    train(model, trainer, [first, second], [first, second])
    assert 0 < trainer.best_metric < float("inf")


def test_missing_labels():
    """NaN marks labels that do not exist, of a whole batch if need be."""
    dataset = make_dataset(MIXED, {"energy": ENERGY})
    systems = [dataset[i]["system"] for i in range(len(dataset))]
    energies = [dataset[i]["energy"] for i in range(len(dataset))]
    for i in (0, 3, 4):
        energies[i] = mts.multiply(energies[i], float("nan"))
    partial = Dataset.from_dict({"system": systems, "energy": energies})
    targets = {"energy": ENERGY}
    model = small_model(targets, types_of(dataset))
    hypers = training_hypers(targets, batch_size=1)
    with pytest.raises(ValueError, match="'energy' .* missing .* `atomic_baseline`"):
        train(model, Trainer(hypers), [partial], [dataset])

    model = small_model(targets, types_of(dataset))
    trainer = Trainer({**hypers, "atomic_baseline": {"energy": 0.0}})
    train(model, trainer, [partial], [dataset])
    assert 0 < trainer.best_metric < float("inf")
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


# --- loss -------------------------------------------------------------------------------


def test_born_effective_charges():
    """Cartesian tensors of each atom in clusters of water, learned within seconds."""
    target = {"key": "born", "unit": "e", "sample_kind": "atom", "num_subtargets": 1}
    target["type"] = {"cartesian": {"rank": 2}}
    dataset, targets = read_dataset(DATA / "born_charges.xyz", {"mtt::born": target})
    training, validation = split(dataset, 4)
    losses = []
    for num_epochs, learning_rate in ((1, 1e-12), (6, 1e-2)):
        model = small_model(targets, types_of(dataset), zero_sum_targets=["mtt::born"])
        options = {"num_epochs": num_epochs, "learning_rate": learning_rate}
        hypers = training_hypers(targets, batch_size=2, **options)
        trainer = Trainer({**hypers, "best_model_metric": "loss"})
        train(model, trainer, training, validation)
        losses.append(trainer.best_metric)
    assert losses[1] < 0.1 * losses[0]


# --- what can go wrong ------------------------------------------------------------------


def broken_predictions(monkeypatch: Any, is_broken: Callable[[], bool]) -> None:
    """Predictions become NaN whenever ``is_broken()``."""
    forward = Predictor.forward

    def broken(*arguments: Any) -> Any:
        factor = float("nan") if is_broken() else 1.0
        return {
            name: mapped(lambda values: values * factor, blocks)
            for name, blocks in forward(*arguments).items()
        }

    monkeypatch.setattr(Predictor, "forward", broken)


def test_divergence_names_epoch_and_batch(monkeypatch):
    dataset, targets = dimers(8)
    model = small_model(targets, types_of(dataset))
    calls: list[int] = []

    def is_broken() -> bool:
        calls.append(1)
        return len(calls) == 6

    broken_predictions(monkeypatch, is_broken)
    trainer = Trainer(training_hypers(targets, num_epochs=3, batch_size=2))
    training, _ = split(dataset, 2)
    nothing = [torch.utils.data.Subset(dataset, [])]
    with pytest.raises(RuntimeError, match="diverged in epoch 1, batch 2 .of 3") as error:
        train(model, trainer, training, nothing)
    assert "grad_clip_norm" in str(error.value)
    assert str(error.value).count("frame") == 2  # both structures of the batch
    # No step has been made with it
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_failing_validation_names_the_epoch(monkeypatch):
    dataset, targets = dimers(4, forces=False)
    model = small_model(targets, types_of(dataset))
    broken_predictions(monkeypatch, lambda: not torch.is_grad_enabled())
    with pytest.raises(RuntimeError, match="validation failed in epoch 0"):
        train(model, Trainer(training_hypers(targets)), [dataset], [dataset])


def test_several_gpus_need_several_processes():
    targets = {"energy": energy_info()}
    dataset = make_dataset([molecule()], targets)
    trainer = Trainer(training_hypers(targets, distributed=True))
    with pytest.raises(ValueError, match="multi-gpu"):
        trainer.train(
            model=small_model(targets, [1, 8]),
            dtype=torch.float32,
            devices=[torch.device("cpu")] * 2,
            train_datasets=[dataset],
            val_datasets=[dataset],
            checkpoint_dir="",
        )
