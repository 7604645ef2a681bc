"""The baseline of atomic types that a trained model meets later."""

from typing import Any

import pytest
import torch
from helpers.finetuning_tools import (
    continued,
    energies_of_data,
    finetuning,
    labels_of,
    trained,
)
from helpers.systems import Structure, crystal, make_structure, molecule, rattled
from helpers.training_tools import (
    dimers,
    energy_info,
    make_dataset,
    small_model,
    target_info,
    train,
    training_hypers,
    types_of,
)
from metatrain.utils.data import DatasetInfo
from metatrain.utils.io import model_from_checkpoint

from metatrain_lorem.model import LOREM
from metatrain_lorem.trainer import Trainer


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
    old_weights, energies = weights_of(before), energies_of_data(before, old_data)
    # Fitted to energies with noise, so that they differ from those of the new data
    assert max(abs(old_weights[z] - WEIGHTS[z]) for z in old_weights) > 0.01

    model = continued(checkpoint, ENERGY, types_of(new_data))
    assert model.atomic_types == ALL_TYPES
    assert model.new_atomic_types == [11, 17]
    assert torch.equal(energies_of_data(model, old_data), energies)

    hypers = training_hypers(ENERGY, **finetuning(), batch_size=2)
    train(model, Trainer({**hypers, "num_epochs": 0}), [new_data], [new_data])
    weights = weights_of(model)
    assert torch.equal(energies_of_data(model, old_data), energies)
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
    hypers["atomic_baseline"] = str(tmp_path / "baseline" / "composition_model.ckpt")
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
