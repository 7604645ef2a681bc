"""Going on from a trained model: other data, new targets, new atomic types."""

import copy
from typing import Any

import pytest
import torch
from helpers.systems import Structure, crystal, make_structure, molecule, rattled
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
from metatomic.torch import ModelOutput, load_atomistic_model
from metatrain.utils.data import DatasetInfo
from metatrain.utils.io import model_from_checkpoint
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_lorem.model import LOREM
from metatrain_lorem.trainer import Trainer


def energies_of(model: LOREM, dataset: Any, name: str = "energy") -> torch.Tensor:
    """Predictions in the type of the model, as evaluation gives them."""
    model = copy.deepcopy(model).double().eval()
    requests = get_requested_neighbor_lists(model)
    systems = [dataset[i]["system"] for i in range(len(dataset))]
    systems = [get_system_with_neighbor_lists(system, requests) for system in systems]
    outputs = {name: ModelOutput(sample_kind="system")}
    return model(systems, outputs)[name].block().values.detach().flatten()


def labels_of(dataset: Any, name: str = "energy") -> torch.Tensor:
    samples = (dataset[i] for i in range(len(dataset)))
    return torch.cat([sample[name].block().values.flatten() for sample in samples])


def trained(
    targets: Any, training: Any, validation: Any, folder: Any, **changes: Any
) -> Any:
    """Checkpoint of a model after a short training, and the model."""
    model = small_model(targets, types_of(*training, *validation))
    trainer = Trainer(training_hypers(targets, num_epochs=2, batch_size=2, **changes))
    train(model, trainer, training, validation)
    trainer.save_checkpoint(model, folder / "trained.ckpt")
    return torch.load(folder / "trained.ckpt", weights_only=False)


def continued(checkpoint: Any, targets: Any, types: list[int]) -> LOREM:
    """What metatrain makes of a checkpoint when fine-tuning begins."""
    model = model_from_checkpoint(checkpoint, "finetune")
    return model.restart(DatasetInfo("Angstrom", types, dict(targets)))


def finetuning(**changes: Any) -> dict[str, Any]:
    finetune = {"read_from": "trained.ckpt", "method": "full", "inherit_heads": {}}
    return {"finetune": {**finetune, **changes}}


# --- the same targets and species -------------------------------------------------------


def test_same_data(tmp_path):
    """Starts from the best model, with its baseline, its scales and a fresh optimizer."""
    dataset, targets = dimers(10)
    training, validation = split(dataset, 2)
    checkpoint = trained(targets, training, validation, tmp_path, scale_targets=True)
    model = continued(checkpoint, targets, types_of(dataset))
    best = model_from_checkpoint(checkpoint, "export")
    before = energies_of(model, dataset)
    assert torch.equal(before, energies_of(best, dataset))

    hypers = training_hypers(targets, learning_rate=1e-12, scale_targets=True)
    trainer = Trainer({**hypers, **finetuning(), "learning_rate_final": 1e-12})
    train(model, trainer, training, validation)
    # Nothing was fitted again
    torch.testing.assert_close(energies_of(model, dataset), before, rtol=0, atol=1e-6)
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
    old_energies = energies_of(model, dataset)
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
    assert torch.equal(energies_of(model, dataset), old_energies)

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

WEIGHTS = {1: -13.6, 6: -1030.0, 7: -1486.0, 8: -2041.3, 11: -4421.0, 17: -12520.1}
ENERGY = {"energy": energy_info()}
ALL_TYPES = sorted(WEIGHTS)


def salts() -> list[Structure]:
    """Old and new species together; sodium and chlorine in several ratios."""
    pair = make_structure([11, 17], [[0.0, 0.0, 0.0], [0.0, 0.0, 2.4]])
    ion = make_structure([17, 8, 1, 1], torch.cat([torch.eye(3)[:1] * 3, water()]))
    solved = make_structure([11, 8, 1, 1], torch.cat([torch.eye(3)[:1] * 2.5, water()]))
    structures = [crystal(), pair, ion, solved]
    return [rattled(s, seed) for seed in range(2) for s in structures]


def water() -> torch.Tensor:
    return molecule().positions


def baseline_energies(structures: list[Structure], noise: float = 0.0) -> list[float]:
    generator = torch.Generator().manual_seed(5)
    energies = [sum(WEIGHTS[z] for z in s.species.tolist()) for s in structures]
    noises = noise * torch.randn(len(structures), generator=generator)
    return [energy + float(e) for energy, e in zip(energies, noises)]


@pytest.fixture
def old_data() -> Any:
    """Dimers of H, C, N, O with energies around the sums of the atomic ones."""
    dataset, _ = dimers(10, forces=False)
    structures = []
    for i in range(len(dataset)):
        system = dataset[i]["system"]
        structures.append(make_structure(system.types.tolist(), system.positions))
    return make_dataset(structures, ENERGY, baseline_energies(structures, noise=0.3))


def weights_of(model: LOREM) -> dict[int, float]:
    """Baseline of each species."""
    values = model.additive_models[0].model.weights["energy"].block().values.flatten()
    return dict(zip(model.additive_models[0].atomic_types, values.tolist()))


def test_new_species(old_data, tmp_path):
    """The old baseline stays; that of new species explains the new data."""
    checkpoint = trained(ENERGY, [old_data], [old_data], tmp_path)
    structures = salts()
    new_data = make_dataset(structures, ENERGY, baseline_energies(structures))
    before = model_from_checkpoint(checkpoint, "finetune")
    old_weights, energies = weights_of(before), energies_of(before, old_data)
    # Fitted to energies with noise, so that they differ from those of the new data
    assert max(abs(old_weights[z] - WEIGHTS[z]) for z in old_weights) > 0.01

    model = continued(checkpoint, ENERGY, types_of(new_data))
    assert model.atomic_types == ALL_TYPES
    assert model.new_atomic_types == [11, 17]
    assert torch.equal(energies_of(model, old_data), energies)

    hypers = training_hypers(ENERGY, **finetuning(), batch_size=2)
    train(model, Trainer({**hypers, "num_epochs": 0}), [new_data], [new_data])
    weights = weights_of(model)
    assert torch.equal(energies_of(model, old_data), energies)
    assert {z: weights[z] for z in old_weights} == old_weights
    # Least squares for the new species, given the old ones
    counts = torch.stack([torch.bincount(s.species, minlength=18) for s in structures])
    counts = counts.double()
    known = torch.tensor([old_weights.get(z, 0.0) for z in range(18)]).double()
    rest = labels_of(new_data) - counts @ known
    expected = torch.linalg.lstsq(counts[:, [11, 17]], rest.unsqueeze(1)).solution
    assert [weights[11], weights[17]] == pytest.approx(expected.flatten().tolist())
    fitted = torch.tensor([weights.get(z, 0.0) for z in range(18)]).double()
    residuals = (labels_of(new_data) - counts @ fitted) / counts.sum(1)
    assert float(residuals.abs().max()) < 0.3  # eV per atom, of up to 8500

    train(model, Trainer(hypers), [new_data], [new_data])
    assert weights_of(model) == weights  # once only
    again = model_from_checkpoint(model.get_checkpoint(), "restart")
    again.restart(DatasetInfo("Angstrom", types_of(new_data), ENERGY))
    assert weights_of(again) == weights
    assert again.new_atomic_types == []
    assert again.export().capabilities().atomic_types == ALL_TYPES


def test_new_species_in_a_fixed_ratio(old_data, tmp_path):
    """As in NaCl, where only the sum of their weights can be known."""
    checkpoint = trained(ENERGY, [old_data], [old_data], tmp_path)
    structures = [rattled(crystal(), seed) for seed in range(4)]
    new_data = make_dataset(structures, ENERGY, baseline_energies(structures))
    model = continued(checkpoint, ENERGY, [11, 17, 19])
    hypers = training_hypers(ENERGY, **finetuning(), num_epochs=0)
    train(model, Trainer(hypers), [new_data], [new_data])
    weights = weights_of(model)
    assert weights[11] + weights[17] == pytest.approx(WEIGHTS[11] + WEIGHTS[17])
    assert weights[11] == pytest.approx(weights[17])
    assert weights[19] == pytest.approx(0.0, abs=1e-9)  # does not occur


def test_new_species_with_given_baseline(old_data, tmp_path):
    """Given values apply to the new species; the old ones keep theirs."""
    checkpoint = trained(ENERGY, [old_data], [old_data], tmp_path)
    old_weights = weights_of(model_from_checkpoint(checkpoint, "finetune"))
    structures = salts()
    new_data = make_dataset(structures, ENERGY, baseline_energies(structures))
    model = continued(checkpoint, ENERGY, types_of(new_data))
    given = {"energy": {z: -1.0 - z for z in ALL_TYPES}}
    hypers = training_hypers(ENERGY, **finetuning(), num_epochs=0, atomic_baseline=given)
    train(model, Trainer(hypers), [new_data], [new_data])
    assert weights_of(model) == {**old_weights, 11: -12.0, 17: -18.0}


def test_new_species_with_loaded_baseline(old_data, tmp_path):
    """A file replaces the whole baseline."""
    checkpoint = trained(ENERGY, [old_data], [old_data], tmp_path)
    structures = salts()
    new_data = make_dataset(structures, ENERGY, baseline_energies(structures))
    source = small_model(ENERGY, ALL_TYPES)
    hypers = training_hypers(ENERGY, num_epochs=0)
    train(source, Trainer(hypers), [new_data, old_data], [new_data], tmp_path)
    model = continued(checkpoint, ENERGY, types_of(new_data))
    hypers["atomic_baseline"] = str(tmp_path / "composition_model.ckpt")
    train(model, Trainer({**hypers, **finetuning()}), [new_data], [new_data])
    assert weights_of(model) == weights_of(source)


def test_new_species_and_target(old_data, tmp_path):
    """A new target is fitted for all species, an old one for the new species only."""
    checkpoint = trained(ENERGY, [old_data], [old_data], tmp_path)
    old_weights = weights_of(model_from_checkpoint(checkpoint, "finetune"))
    targets = {
        "energy": energy_info(),
        "mtt::gap": target_info("mtt::gap", "scalar", "system"),
    }
    structures = salts()
    new_data = make_dataset(structures, targets, baseline_energies(structures))
    model = continued(checkpoint, targets, types_of(new_data))
    options = finetuning(inherit_heads={"mtt::gap": "energy"})
    hypers = training_hypers(targets, **options, num_epochs=1, batch_size=2)
    train(model, Trainer(hypers), [new_data], [new_data])
    weights = weights_of(model)
    assert {z: weights[z] for z in old_weights} == old_weights
    assert weights[17] == pytest.approx(WEIGHTS[17], abs=2.0)
    gap = model.additive_models[0].model.weights["mtt::gap"].block().values.flatten()
    assert dict(zip(model.atomic_types, gap.bool().tolist())) == {
        z: z not in (6, 7) for z in ALL_TYPES
    }
