"""A signal ends a training without loss; a restart repeats what would have been."""

import signal
from pathlib import Path

import pytest
import torch
from helpers.tiny_runs import (
    after_steps,
    assert_same_weights,
    data,
    go_on,
    run,
    tiny_model,
    tiny_trainer,
)
from helpers.training_tools import train

from metatrain_lorem.training import signals
from metatrain_lorem.training.saving import LATEST


TRAINING, VALIDATION = data(*range(5)), data(10, 11)


def load(path: Path) -> dict:
    return torch.load(path, weights_only=False)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def default_handlers():
    """Also where the tests run in the background, with signals ignored."""
    before = {name: signal.getsignal(getattr(signal, name)) for name in signals.NAMES}
    for name in signals.NAMES:
        default = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
        signal.signal(getattr(signal, name), default)
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("SIGTERM", 1), ("SIGTERM", 3), ("SIGINT", 5), ("SIGHUP", 5), ("SIGUSR1", 7)],
)
def test_signal_saves_and_restart_repeats(name, steps, tmp_path, caplog):
    """Also in the middle of an epoch, and before its validation: bit for bit."""
    expected, reference = run(TRAINING, VALIDATION)
    model, trainer = tiny_model(TRAINING, VALIDATION), tiny_trainer()
    after_steps(trainer, steps, lambda: signal.raise_signal(getattr(signal, name)))
    torch.manual_seed(1)
    trainer.seed = reference.seed
    with pytest.raises(SystemExit) as end:
        train(model, trainer, [TRAINING], [VALIDATION], tmp_path)
    assert end.value.code == 128 + getattr(signal, name)
    assert f"stopped by {name} after {steps // 3} epochs" in caplog.text.replace(
        "after 0 epochs and 3", "after 1 epochs and 0"
    )
    assert "model_latest.ckpt' continues it" in caplog.text
    assert signal.getsignal(getattr(signal, name)) in (
        signal.SIG_DFL,
        signal.default_int_handler,
    )
    torch.manual_seed(99)
    restarted, other = go_on(tmp_path / LATEST, TRAINING, VALIDATION)
    assert_same_weights(expected, restarted)
    assert (other.best_epoch, other.best_metric) == (
        reference.best_epoch,
        reference.best_metric,
    )


def test_signal_during_validation(tmp_path):
    expected, reference = run(TRAINING, VALIDATION)
    model, trainer = tiny_model(TRAINING, VALIDATION), tiny_trainer()
    trainer.seed = reference.seed
    original = trainer._validate

    def stopped(*arguments):
        if trainer.epoch == 0:
            signal.raise_signal(signal.SIGTERM)
        return original(*arguments)

    trainer._validate = stopped
    with pytest.raises(SystemExit):
        train(model, trainer, [TRAINING], [VALIDATION], tmp_path)
    checkpoint = load(tmp_path / LATEST)
    assert (checkpoint["epoch"], checkpoint["batch"]) == (0, 3)
    restarted, other = go_on(checkpoint, TRAINING, VALIDATION)
    assert_same_weights(expected, restarted)
    assert other.best_metric == reference.best_metric


def test_second_signal_acts_at_once():
    with signals.StopRequests():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_signals_of_the_surrounding_program(handler):
    """``nohup`` ignores SIGHUP; others may handle signals themselves."""
    previous = signal.signal(signal.SIGHUP, handler)
    try:
        with signals.StopRequests() as stop:
            assert signal.getsignal(signal.SIGHUP) == handler
            signal.raise_signal(signal.SIGHUP)
            stop.check(torch.device("cpu"), is_distributed=False)
    finally:
        signal.signal(signal.SIGHUP, previous)
