"""Going on from a trained model: other data, new targets, new atomic types."""

import pytest
import torch
from helpers.finetuning_tools import continued, energies_of_data, finetuning, trained
from helpers.systems import molecule
from helpers.training_tools import (
    dimers,
    energy_info,
    make_dataset,
    small_model,
    split,
    target_info,
    train,
    training_hypers,
    types_of,
)
from metatomic.torch import load_atomistic_model
from metatrain.utils.data import DatasetInfo
from metatrain.utils.io import model_from_checkpoint

from metatrain_lorem.trainer import Trainer


# --- the same targets and species -------------------------------------------------------


def test_same_data(tmp_path):
    """Starts from the best model, with its baseline, its scales and a fresh optimizer."""
    dataset, targets = dimers(10)
    training, validation = split(dataset, 2)
    checkpoint = trained(targets, training, validation, tmp_path, scale_targets=True)
    model = continued(checkpoint, targets, types_of(dataset))
    best = model_from_checkpoint(checkpoint, "export")
    before = energies_of_data(model, dataset)
    assert torch.equal(before, energies_of_data(best, dataset))

    hypers = training_hypers(targets, learning_rate=1e-12, scale_targets=True)
    trainer = Trainer({**hypers, **finetuning(), "learning_rate_final": 1e-12})
    train(model, trainer, training, validation)
    # Nothing was fitted again
    torch.testing.assert_close(energies_of_data(model, dataset), before, rtol=0, atol=1e-6)
    assert trainer.epoch == 0
    assert model.finetune_config["read_from"] == "trained.ckpt"
    again = model_from_checkpoint(model.get_checkpoint(), "export")
    assert again.finetune_config == model.finetune_config


# --- new targets ------------------------------------------------------------------------


def test_new_target_inherits_a_head(tmp_path):
    """The new readout starts as a copy; its baseline is its own."""
    dataset, targets = dimers(10)
    checkpoint = trained(targets, *split(dataset, 2), tmp_path)
    new, new_targets = dimers(10, name="energy/other")
    model = continued(checkpoint, new_targets, types_of(new))
    old_energies = energies_of_data(model, dataset)
    options = finetuning(inherit_heads={"energy/other": "energy"})
    hypers = {**training_hypers(new_targets), **options, "num_epochs": 0}
    trainer = Trainer(hypers)
    train(model, trainer, *split(new, 2))
    parameters = dict(model.named_parameters())
    copied = [name for name in parameters if "readouts.energy/other." in name]
    assert len(copied) > 0
    for name in copied:
        source = parameters[name.replace("energy/other", "energy")]
        assert torch.equal(parameters[name], source)
        assert parameters[name].data_ptr() != source.data_ptr()
    assert torch.equal(energies_of_data(model, dataset), old_energies)

    train(model, Trainer({**hypers, "num_epochs": 1}), *split(new, 2))
    assert not torch.equal(
        parameters[copied[0]], parameters[copied[0].replace("energy/other", "energy")]
    )
    model.export().save(str(tmp_path / "model.pt"))
    outputs = load_atomistic_model(str(tmp_path / "model.pt")).capabilities().outputs
    assert {"energy", "energy/other"} <= set(outputs)


def test_restart_of_finetuning_does_not_copy_again(tmp_path):
    dataset, targets = dimers(6)
    checkpoint = trained(targets, *split(dataset, 2), tmp_path)
    new, new_targets = dimers(6, name="energy/other")
    model = continued(checkpoint, new_targets, types_of(new))
    options = finetuning(inherit_heads={"energy/other": "energy"})
    hypers = {**training_hypers(new_targets, num_epochs=2, batch_size=2), **options}
    hypers["checkpoint_interval"] = 1
    train(model, Trainer(hypers), *split(new, 2), tmp_path)

    checkpoint = torch.load(tmp_path / "model_0.ckpt", weights_only=False)
    info = DatasetInfo("Angstrom", types_of(new), new_targets)
    other = model_from_checkpoint(checkpoint, "restart").restart(info)
    trainer = Trainer.load_checkpoint(checkpoint, hypers, "restart")
    train(other, trainer, *split(new, 2))
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, dict(other.named_parameters())[name]), name


@pytest.mark.parametrize(
    "heads", [{"mtt::dipole": "energy"}, {"energy/other": "enrgy"}, {"unknown": "energy"}]
)
def test_wrong_heads(heads):
    """Heads that do not exist, or do not fit, are named."""
    targets = {
        "energy": energy_info(),
        "energy/other": energy_info("energy/other"),
        "mtt::dipole": target_info("mtt::dipole", {"cartesian": {"rank": 1}}, "system"),
    }
    dataset = make_dataset([molecule()] * 2, targets)
    hypers = training_hypers(targets, batch_size=1, **finetuning(inherit_heads=heads))
    ((target, source),) = heads.items()
    with pytest.raises(ValueError, match=f"'{target}' to inherit .* '{source}'"):
        train(small_model(targets, [1, 8]), Trainer(hypers), [dataset], [dataset])


# --- new atomic types -------------------------------------------------------------------
