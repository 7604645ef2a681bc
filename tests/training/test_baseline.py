"""Composition baselines: fitted to the data, or refused."""

import pytest
import torch
from helpers.systems import (
    crystal,
    molecule,
    rattled,
    single_atom,
    slab,
    structure_of,
    translated,
)
from helpers.training_tools import (
    dimers,
    energy_info,
    make_dataset,
    small_model,
    train,
    training_hypers,
    types_of,
)
from metatrain.utils.evaluate_model import evaluate_model
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_lorem.trainer import Trainer
from metatrain_lorem.training.baseline import preparation


def test_all_electron_energies():
    """Nothing of differences of 0.2 eV in -1.5e6 eV is lost by training in float32.

    float32 would resolve the total to 0.125 eV; baseline and scale are in float64.
    """
    structures = [rattled(crystal(), seed) for seed in range(6)]
    energies = [-1.5e6 + 0.2 * i for i in range(6)]
    targets = {"energy": energy_info()}
    dataset = make_dataset(structures, targets, energies)
    model = small_model(targets, types_of(dataset))
    hypers = training_hypers(targets, batch_size=2)
    train(model, Trainer(hypers), [dataset], [dataset])
    baseline = model.additive_models[0].model.weights["energy"].block().values.double()
    residuals = [energy - 4 * float(baseline.sum()) for energy in energies]
    assert residuals == pytest.approx([0.2 * i - 0.5 for i in range(6)], abs=1e-7)

    systems, labels = [dataset[3]["system"]], {"energy": dataset[3]["energy"]}
    for transform in preparation(model, torch.device("cpu")):
        systems, labels, _ = transform(systems, labels, {})
    assert float(labels["energy"].block().values) == pytest.approx(0.1, abs=1e-7)


def test_training_does_not_see_the_cores():
    """Energies of valence electrons, and with those of all others: the same model."""
    dataset, targets = dimers(8, forces=False)
    structures = [structure_of(dataset[i]["system"]) for i in range(len(dataset))]
    valence = [float(dataset[i]["energy"].block().values) for i in range(len(dataset))]
    # Not far from -13.6 Z**2.4 eV, as if all atoms were heavy ones: -1e7 eV in all
    cores = {z: -1e6 - 13.6 * z**2.4 for z in types_of(dataset)}
    totals = [
        energy + sum(cores[z] for z in structure.species.tolist())
        for energy, structure in zip(valence, structures, strict=True)
    ]
    models = []
    for energies in (valence, totals):
        model = small_model(targets, types_of(dataset))
        hypers = training_hypers(targets, batch_size=2, num_epochs=2)
        data = make_dataset(structures, targets, energies)
        torch.manual_seed(0)  # of the order of the structures
        train(model, Trainer(hypers), [data], [data])
        models.append(model)
    for parameter, other in zip(*[model.parameters() for model in models], strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-4, atol=1e-5)


def test_unknown_species():
    """In the data of a restricted model, and in evaluation."""
    targets = {"energy": energy_info()}
    dataset = make_dataset([molecule(), single_atom()], targets)
    model = small_model(targets, [1, 8])
    for baseline in ({}, {"energy": 0.0}):
        hypers = training_hypers(targets, atomic_baseline=baseline, batch_size=1)
        trainer = Trainer(hypers)
        with pytest.raises(ValueError, match="atom.* types.*17"):
            train(model, trainer, [dataset], [dataset])
    exported = model.export()
    requests = get_requested_neighbor_lists(exported)
    system = get_system_with_neighbor_lists(dataset[1]["system"], requests)
    with pytest.raises(ValueError, match="atomic type '17'"):
        evaluate_model(exported, [system.to(torch.float32)], targets, is_training=False)


@pytest.mark.parametrize("distance", [1e3, 1e7])
def test_data_far_from_the_origin(distance):
    """Nothing is lost before positions are rounded to float32 (at 1e7, to 1 Angstrom)."""
    targets = {"energy": energy_info(gradients=("positions",))}
    structures = [molecule(), slab(), crystal()]
    losses = []
    for shift in (0.0, distance):
        moved = [translated(structure, [shift] * 3) for structure in structures]
        dataset = make_dataset(moved, targets)
        model = small_model(targets, types_of(dataset))
        trainer = Trainer(training_hypers(targets, batch_size=3, best_model_metric="loss"))
        torch.manual_seed(0)
        train(model, trainer, [dataset], [dataset])
        losses.append(trainer.best_metric)
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
