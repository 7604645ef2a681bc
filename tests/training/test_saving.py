"""No checkpoint is lost or damaged: full disks, errors, the last epoch."""

import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from helpers.tiny_runs import (
    after_steps,
    data,
    run,
    tiny_model,
    tiny_trainer,
    warnings_of,
)
from helpers.training_tools import train

from metatrain_lorem.training import saving
from metatrain_lorem.training.saving import LATEST, Saver, save_atomically


TRAINING, VALIDATION = data(*range(5)), data(10, 11)


def load(path: Path) -> dict:
    return torch.load(path, weights_only=False)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*") if path.is_file()}


# --- files ------------------------------------------------------------------------------


@pytest.fixture
def old_file(tmp_path):
    path = tmp_path / "model.ckpt"
    save_atomically({"old": True}, path)
    return path


def test_nothing_is_left_beside(old_file):
    save_atomically({"old": False}, old_file)
    assert load(old_file) == {"old": False}
    assert names(old_file.parent) == {"model.ckpt"}


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_failure_keeps_the_old_file(step, old_file, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    elif step == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(OSError, match="cannot save '.*model.ckpt': No space left") as error:
        save_atomically({"old": False}, old_file)
    assert error.value.errno == 28
    monkeypatch.undo()
    assert load(old_file) == {"old": True}
    assert names(old_file.parent) == {"model.ckpt"}


def test_full_disk_goes_on(tmp_path, caplog):
    """A limit on the size of files stands for a full disk; the training completes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    model = tiny_model(TRAINING, VALIDATION)
    trainer = tiny_trainer(checkpoint_interval=1, num_epochs=4)
    change = resource.setrlimit

    def fill() -> None:
        change(resource.RLIMIT_FSIZE, (4096, limits[1]))

    def make_room() -> None:
        change(resource.RLIMIT_FSIZE, limits)

    after_steps(trainer, 5, fill)  # of 3 per epoch: during the second epoch
    after_steps(trainer, 11, make_room)
    try:
        train(model, trainer, [TRAINING], [VALIDATION], tmp_path)
    finally:
        make_room()
        signal.signal(signal.SIGXFSZ, ignored)
    assert trainer.epoch == 3
    assert names(tmp_path) == {"model_0.ckpt", "model_3.ckpt"}
    messages = [m for m in warnings_of(caplog) if "cannot save" in m]
    assert len(messages) == 2
    assert "File too large. Older checkpoints are kept" in messages[0]


def test_partial_files_are_no_checkpoints(tmp_path, monkeypatch):
    """Nor is the baseline of metatrain: ``--restart auto`` takes each ``*.ckpt``."""
    monkeypatch.setattr(
        Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        run(TRAINING, VALIDATION, tmp_path, atomic_baseline={}, num_epochs=1)
    assert list(tmp_path.glob("*.ckpt")) == []
    assert (tmp_path / "baseline" / "composition_model.ckpt").is_file()


# --- when -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_epochs", "interval", "expected"),
    [(1, 100, [0]), (4, 100, [0, 3]), (4, 2, [0, 2, 3]), (3, 1, [0, 1, 2])],
)
def test_last_epoch_is_saved(num_epochs, interval, expected, tmp_path):
    run(
        *(TRAINING, VALIDATION, tmp_path),
        num_epochs=num_epochs,
        checkpoint_interval=interval,
    )
    assert names(tmp_path) == {f"model_{i}.ckpt" for i in expected}
    assert load(tmp_path / f"model_{num_epochs - 1}.ckpt")["epoch"] == num_epochs - 1


def test_saved_every_ten_minutes(tmp_path, monkeypatch):
    assert saving.INTERVAL == 600
    monkeypatch.setattr(saving, "INTERVAL", -1.0)
    run(TRAINING, VALIDATION, tmp_path)
    checkpoint = load(tmp_path / LATEST)
    assert (checkpoint["epoch"], checkpoint["batch"]) == (
        1,
        3,
    )  # before the last validation


def test_time_counts_from_the_last_checkpoint(tmp_path, monkeypatch):
    saver = Saver(tmp_path)
    assert not saver.is_due()
    monkeypatch.setattr(saver, "last", saver.last - 601)
    assert saver.is_due()
    saver.save("x.ckpt", dict)
    assert not saver.is_due()
    assert not Saver(tmp_path, is_main=False).save("y.ckpt", dict)
    assert names(tmp_path) == {"x.ckpt"}


# --- errors -----------------------------------------------------------------------------


def test_error_saves_what_was_learned(tmp_path, caplog):
    def fail() -> None:
        raise RuntimeError("out of memory")

    model, trainer = tiny_model(TRAINING, VALIDATION), tiny_trainer()
    after_steps(trainer, 6, fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(model, trainer, [TRAINING], [VALIDATION], tmp_path)
    assert (
        "model_latest.ckpt' holds what was learned until the error, 1 epochs" in caplog.text
    )
    checkpoint = load(tmp_path / LATEST)
    assert checkpoint["best_epoch"] == 0
    assert (checkpoint["epoch"], checkpoint["batch"]) == (0, 2)


def test_broken_weights_are_not_saved(tmp_path, caplog):
    def spoil() -> None:
        next(model.parameters()).data[:] = float("nan")

    model, trainer = tiny_model(TRAINING, VALIDATION), tiny_trainer()
    after_steps(trainer, 4, spoil)
    with pytest.raises(RuntimeError, match="the weights 'network.* since the step"):
        train(model, trainer, [TRAINING], [VALIDATION], tmp_path)
    assert "cannot be saved" in caplog.text
    assert names(tmp_path) == {"model_0.ckpt"}
