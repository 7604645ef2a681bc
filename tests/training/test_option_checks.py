"""Options that spoil a training are refused; those without effect are told."""

import pytest
from helpers.tiny_runs import TARGETS, data, oxygen_pair, run, tiny_trainer, warnings_of

from metatrain_lorem.training.data_checks import Inspection
from metatrain_lorem.training.frames import Frames
from metatrain_lorem.training.option_checks import (
    check_batch_sizes,
    check_options,
    tell_without_effect,
)


NAN, INF = float("nan"), float("inf")


def weight(value):
    return {"energy": {"type": "mse", "weight": value}}


def hypers(**changes):
    return tiny_trainer(**changes).hypers


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_workers": -1}, "'num_workers' is -1"),
        ({"loss": weight(NAN)}, "'loss.energy.weight' is nan"),
        ({"loss": weight(-1.0)}, "'loss.energy.weight' is -1.0"),
        ({"loss": weight(INF)}, "'loss.energy.weight' is inf"),
        (
            {"fixed_scaling_weights": {"energy": 0.0}},
            "_weights.energy' is 0.0",
        ),
        ({"fixed_scaling_weights": {"energy": -1.0}}, "but must be positive"),
        ({"fixed_scaling_weights": {"energy": {1: NAN}}}, "weights.energy.1' is nan"),
        ({"atomic_baseline": {"energy": NAN}}, "'atomic_baseline.energy' is nan"),
        ({"atomic_baseline": {"energy": {1: 0.0, 8: INF}}}, "baseline.energy.8' is inf"),
    ],
)
def test_refused(changes, words):
    with pytest.raises(ValueError, match="hyper-parameter .*") as error:
        check_options(hypers(**changes))
    assert words in str(error.value)


@pytest.mark.parametrize("key", ["atomic_baseline", "fixed_scaling_weights"])
def test_missing_files(key):
    with pytest.raises(FileNotFoundError, match=f"`{key}` names the file 'no.ckpt'"):
        check_options(hypers(**{key: "no.ckpt"}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"min_atoms_per_batch": 3}, "`min_atoms_per_batch` has no effect without"),
        ({"fixed_scaling_weights": {"energy": 2.0}}, "no effect without `scale_targets"),
        ({"finetune": {"read_from": None, "inherit_heads": {"a": "b"}}}, "`inherit_heads`"),
        ({"learning_rate": 1e-9}, "`learning_rate_final` (1e-06) is above"),
    ],
)
def test_told(changes, words, caplog):
    tell_without_effect(hypers(**changes))
    (message,) = warnings_of(caplog)
    assert words in message


def test_defaults_are_silent(caplog):
    check_options(hypers())
    tell_without_effect(hypers(learning_rate=1e-9, schedule="constant"))
    tell_without_effect(hypers(min_atoms_per_batch=3, max_atoms_per_batch=9))
    assert warnings_of(caplog) == []


def test_sizes_of_batches(caplog):
    dataset = data(0, structures=[oxygen_pair(1.2)])
    inspection = Inspection([Frames(dataset, "training set", "a.xyz")], TARGETS)
    check_batch_sizes(hypers(), inspection)
    check_batch_sizes(hypers(max_atoms_per_batch=100), inspection)
    assert warnings_of(caplog) == []
    check_batch_sizes(hypers(max_atoms_per_batch=2), inspection)
    (message,) = warnings_of(caplog)
    assert "1 structures, the first frame 0 (from 0) of 'a.xyz'" in message
    words = "'max_atoms_per_batch' is 1, but the smallest structure .frame 1 .* has 2 atoms"
    with pytest.raises(ValueError, match=words):
        check_batch_sizes(hypers(max_atoms_per_batch=1), inspection)


def test_refused_before_training():
    with pytest.raises(ValueError, match="'loss.energy.weight' is nan"):
        run(data(0), loss=weight(NAN))


def test_no_epochs(caplog):
    run(data(0, 1), num_epochs=0)
    assert "Nothing is trained: `num_epochs` is 0" in caplog.text
