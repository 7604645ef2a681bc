"""A restart on other data, options or seeds: told, and nothing is exported by mistake."""

import copy
import math

import pytest
import torch
from helpers.tiny_runs import (
    TARGETS,
    assert_same_weights,
    data,
    go_on,
    oxygen_pair,
    run,
    tiny_trainer,
    warnings_of,
)
from helpers.training_tools import energy_info, make_dataset
from metatrain.utils.io import model_from_checkpoint, trainer_from_checkpoint

from metatrain_lorem import checkpoints
from metatrain_lorem.training.data_checks import Inspection
from metatrain_lorem.training.frames import Frames
from metatrain_lorem.training.optimization import build_optimizers, restore_optimizers
from metatrain_lorem.training.record import (
    JUDGES,
    SKETCH,
    make_record,
    tell_ignored_options,
    tell_trained_on,
    what_changed,
)


TRAINING, VALIDATION = data(*range(5)), data(10, 11)
OTHER_VALIDATION = data(20, 21)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """After two of four epochs, with a best model that nothing can beat."""
    folder = tmp_path_factory.mktemp("run")
    run(TRAINING, VALIDATION, folder, checkpoint_interval=1, num_epochs=2)
    checkpoint = torch.load(folder / "model_1.ckpt", weights_only=False)
    checkpoint["best_metric"], checkpoint["best_epoch"] = 1e-9, 0
    return checkpoint


def continued(checkpoint, training=TRAINING, validation=VALIDATION, **changes):
    hypers = tiny_trainer(changes.get("targets"), num_epochs=4, **changes.pop("new", {}))
    return go_on(
        copy.deepcopy(checkpoint), training, validation, hypers=hypers.hypers, **changes
    )


def best_of(model, trainer):
    """What would be exported."""
    return model_from_checkpoint(trainer._checkpoint(model), "export")


# --- the best model ---------------------------------------------------------------------


def test_same_data_keeps_the_best(checkpoint, caplog):
    model, trainer = continued(checkpoint)
    assert (trainer.best_epoch, trainer.best_metric) == (0, 1e-9)
    assert warnings_of(caplog) == []
    for name, value in checkpoint["best_model_state_dict"].items():
        if isinstance(value, torch.Tensor) and "network" in name:
            assert torch.equal(best_of(model, trainer).state_dict()[name], value)


def relabelled():
    return data(10, 11, energies=[1.0, 2.0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validation": OTHER_VALIDATION}, "validation structures or labels"),
        ({"validation": data(10)}, "validation structures or labels"),
        ({"validation": relabelled()}, "validation structures or labels"),
        ({"training": data(*range(5), structures=[oxygen_pair(1.2)])}, None),
        ({"new": {"best_model_metric": "loss"}}, "`best_model_metric`"),
        ({"new": {"loss": "mae"}}, "`loss`"),
        ({"new": {"loss": {"energy": {"type": "mse", "weight": 2.0}}}}, "`loss`"),
        ({"new": {"per_structure_targets": ["energy"]}}, "`loss`"),
    ],
)
def test_best_model_on_other_grounds(changes, words, checkpoint, caplog):
    model, trainer = continued(checkpoint, **changes)
    if words is None:
        assert trainer.best_epoch == 0
        return
    assert f"because of other {words}" in caplog.text
    assert "(epoch 0, " in caplog.text
    assert trainer.best_epoch in (2, 3)
    assert trainer.best_metric > 1e-9
    if trainer.best_epoch == 3:
        assert_same_weights(best_of(model, trainer), model)


def test_new_species(checkpoint, caplog):
    """All epochs ran, and then the best model could not be loaded."""
    structures = [oxygen_pair(1.2)._replace(species=torch.tensor([9, 9]))]
    model, trainer = continued(checkpoint, training=data(0, 1, structures=structures))
    assert "other atomic types" in caplog.text
    assert best_of(model, trainer).atomic_types == [1, 8, 9]


def test_new_target(checkpoint, caplog):
    targets = {**TARGETS, "mtt::foo": energy_info("mtt::foo")}
    structures = [oxygen_pair(x) for x in (1.1, 1.2, 1.3)]
    both = make_dataset(structures, targets)
    new = {"atomic_baseline": {"energy": 0.0, "mtt::foo": 0.0}}
    model, trainer = continued(checkpoint, both, both, targets=targets, new=new)
    assert "other validation structures or labels, targets" in caplog.text
    assert "mtt::foo" in best_of(model, trainer).dataset_info.targets


def test_nothing_left_to_train(checkpoint, caplog):
    """The latest model is exported then, if the best one does not count."""
    checkpoint = copy.deepcopy(checkpoint)
    hypers = tiny_trainer(num_epochs=2).hypers
    model, trainer = go_on(checkpoint, TRAINING, OTHER_VALIDATION, hypers=hypers)
    assert "`num_epochs` is 2, and 2 epochs are done" in caplog.text
    assert_same_weights(best_of(model, trainer), model)


def older(checkpoint):
    """As version 1 wrote it."""
    old = copy.deepcopy(checkpoint)
    old["trainer_ckpt_version"] = 1
    del old["batch"], old["record"]
    return old


def test_checkpoint_of_version_1(checkpoint, caplog):
    model, trainer = continued(older(checkpoint))
    assert trainer.best_epoch == 0
    assert "The checkpoint is of an earlier version" in caplog.text


def test_checkpoint_of_version_1_and_new_species(checkpoint, caplog):
    structures = [oxygen_pair(1.2)._replace(species=torch.tensor([9, 9]))]
    training = data(0, 1, structures=structures)
    model, trainer = continued(older(checkpoint), training=training)
    assert "because of other targets or atomic types" in caplog.text
    assert best_of(model, trainer).atomic_types == [1, 8, 9]


def test_upgrade_of_the_trainer():
    old = {"trainer_ckpt_version": 1}
    new = checkpoints.upgrade(old, "trainer_ckpt_version", 2)
    assert new == {"trainer_ckpt_version": 2, "batch": 0, "record": None}


@pytest.mark.parametrize("key", list(JUDGES))
def test_each_ground_is_compared(key):
    old = dict.fromkeys(JUDGES, "a")
    assert what_changed(old, {**old, key: "b"}) == [JUDGES[key]]
    assert what_changed(old, dict(old)) == []


# --- the division of the data -----------------------------------------------------------


def test_other_division(checkpoint, caplog):
    continued(checkpoint, data(0, 1, 2, 10, 11), data(3, 4))
    text = caplog.text
    assert "100% of the validation structures have been trained on before" in text
    assert "as `seed` differs" in text
    assert "options_restart.yaml' continues the run" in text
    assert "frame 0 (from 0) of the validation set" in text


def test_structures_in_both_sets(caplog):
    run(TRAINING, data(4, 10), num_epochs=1)
    assert "About 50% of the validation structures are trained on, too" in caplog.text


def test_division_of_a_long_history(checkpoint, caplog):
    """Structures of the run before the last one are not forgotten."""
    _, trainer = continued(checkpoint, data(6, 7, 8))
    record = trainer.record
    assert len(record["training"]) == 8
    inspection = Inspection([Frames(data(0, 6, 30), "validation set")], TARGETS)
    caplog.clear()
    tell_trained_on(record["training"], inspection, "are known")
    assert "About 67% of the validation structures are known" in caplog.text


def test_large_sets_are_sampled(caplog):
    """Of many structures some are remembered: a random sample, of a share to be told."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randint(0, 2**62, (20_000,), generator=generator).tolist()
    numbers = [4 * number for number in numbers]
    training = Inspection([], TARGETS)
    training.structures = dict.fromkeys(numbers[:16_000], "")
    validation = Inspection([], TARGETS)
    validation.structures = dict.fromkeys(numbers[15_000:], "frame 7")
    options = tiny_trainer().hypers
    record = make_record(training, validation, TARGETS, [1], options, "")
    assert len(record["training"]) == SKETCH
    tell_trained_on(record["training"], validation, "are known")
    (message,) = warnings_of(caplog)
    share = int(message.split("%")[0].split()[-1])
    assert 10 <= share <= 30  # 20 % are


# --- options ----------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW"])
def test_new_weight_decay_is_applied(optimizer):
    model = torch.nn.Linear(2, 2)
    old = {"optimizer": optimizer, "learning_rate": 1e-3, "weight_decay": 0.0}
    first = build_optimizers(model, old)
    model(torch.ones(2)).sum().backward()
    first[0].step()
    states = [o.state_dict() for o in first]
    new = build_optimizers(model, {**old, "weight_decay": 0.5})
    restore_optimizers(new, states)
    assert new[0].param_groups[0]["weight_decay"] == 0.5
    assert new[0].state_dict()["state"].keys() == states[0]["state"].keys() != set()


def test_new_optimizer_is_applied():
    """AdamW with the state of Adam is no Adam."""
    model = torch.nn.Linear(2, 2)
    old = {"optimizer": "Adam", "learning_rate": 1e-3, "weight_decay": 0.5}
    states = [o.state_dict() for o in build_optimizers(model, old)]
    new = build_optimizers(model, {**old, "optimizer": "AdamW"})
    fresh = [dict(o.param_groups[0], params=None) for o in new]
    restore_optimizers(new, states)
    assert [dict(o.param_groups[0], params=None) for o in new] == fresh


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("atomic_baseline", {"energy": 1.0}),
        ("scale_targets", True),
        ("fixed_scaling_weights", {"energy": 2.0}),
    ],
)
def test_options_without_effect_are_told(key, value, caplog):
    old = tiny_trainer().hypers
    tell_ignored_options(old, {**old, key: value})
    (message,) = warnings_of(caplog)
    assert f"`{key}` is now {value!r}, but has no effect" in message
    caplog.clear()
    tell_ignored_options(old, dict(old))
    assert warnings_of(caplog) == []


def test_options_without_effect_in_a_restart(checkpoint, caplog):
    model, _ = continued(checkpoint, new={"scale_targets": True, "weight_decay": 0.1})
    assert "`scale_targets` is now True, but has no effect" in caplog.text
    assert "weight_decay" not in caplog.text


def test_fine_tuning_begins_anew(checkpoint):
    trainer = trainer_from_checkpoint(checkpoint, "finetune", tiny_trainer().hypers)
    assert (trainer.epoch, trainer.best_metric, trainer.record) == (None, math.inf, None)
