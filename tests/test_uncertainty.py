"""Uncertainties and ensembles by metatrain's `llpr` architecture."""

import copy
import math
from pathlib import Path

import ase
import pytest
import torch
from helpers.lorem_models import predict
from helpers.systems import Structure, crystal, rattled, structure_of
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
from metatomic.torch import AtomisticModel
from metatrain.llpr.model import LLPRUncertaintyModel
from metatrain.llpr.trainer import Trainer as LLPRTrainer
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import Dataset, DatasetInfo, TargetInfo
from torch.utils.data import Subset

from metatrain_lorem.cli import main
from metatrain_lorem.trainer import Trainer


NUM_MEMBERS = 256
Data = list[Dataset | Subset]


def with_uncertainty(
    targets: dict[str, TargetInfo],
    training: Data,
    validation: Data,
    folder: Path,
    members: dict[str, int],
) -> LLPRUncertaintyModel:
    """A LOREM, wrapped after a short training."""
    torch.manual_seed(0)
    model = small_model(targets, types_of(*training))
    trainer = Trainer(training_hypers(targets, num_epochs=5, batch_size=4))
    train(model, trainer, training, validation, folder, torch.float64)
    trainer.save_checkpoint(model, folder / "model.ckpt")

    hypers = copy.deepcopy(get_default_hypers("llpr"))
    hypers["training"].update(model_checkpoint=str(folder / "model.ckpt"), batch_size=4)
    info = DatasetInfo("Angstrom", types_of(*training), targets)
    wrapped = LLPRUncertaintyModel({"num_ensemble_members": members}, info)
    llpr_trainer = LLPRTrainer(hypers["training"])
    train(wrapped, llpr_trainer, training, validation, folder, torch.float64)
    return wrapped


@pytest.fixture(scope="module")
def dataset() -> Subset:
    return dimers(24, forces=False)[0]


@pytest.fixture(scope="module")
def exported(dataset, tmp_path_factory) -> AtomisticModel:
    folder = tmp_path_factory.mktemp("llpr")
    targets = {"energy": energy_info()}
    members = {"energy": NUM_MEMBERS}
    return with_uncertainty(targets, *split(dataset, 8), folder, members).export()


def values_of(
    model: AtomisticModel, structure: Structure, *names: str
) -> list[torch.Tensor]:
    results = predict(model, [structure], list(names))
    return [results[name].block().values.detach() for name in names]


def test_calibration(exported, dataset):
    """Errors of the validation set, with baseline and scale, are Gaussian on average."""
    ratios = []
    for i in range(16, 24):
        names = ("energy", "energy_uncertainty")
        structure = structure_of(dataset[i]["system"])
        energy, deviation = values_of(exported, structure, *names)
        error = energy - dataset[i]["energy"].block().values
        ratios.append(float(error.abs() / deviation))
    assert sum(ratios) / len(ratios) == pytest.approx(math.sqrt(2 / math.pi), rel=1e-4)


def test_uncertainty_grows_away_from_the_data(exported, dataset):
    for i in range(0, 24, 6):
        structure = structure_of(dataset[i]["system"])
        values = [
            float(values_of(exported, rattled(structure, 0, size), "energy_uncertainty")[0])
            for size in (0.0, 0.2, 0.6)
        ]
        assert 0 < values[0] < values[1] < values[2]


def test_ensemble(exported, dataset):
    """Its mean is the energy, its spread the uncertainty."""
    names = ("energy", "energy_uncertainty", "energy_ensemble")
    for i in range(0, 24, 6):
        structure = structure_of(dataset[i]["system"])
        energy, deviation, ensemble = values_of(exported, structure, *names)
        assert ensemble.shape == (1, NUM_MEMBERS)
        torch.testing.assert_close(ensemble.mean(1, keepdim=True), energy)
        assert 0.85 < float(ensemble.std(1) / deviation) < 1.15


def test_information(exported, dataset, tmp_path, capsys):
    exported.save(str(tmp_path / "model.pt"))
    system = dataset[0]["system"]
    atoms = ase.Atoms(system.types.numpy(), system.positions.numpy())
    atoms.write(tmp_path / "atoms.xyz")
    main(["info", str(tmp_path / "model.pt"), str(tmp_path / "atoms.xyz")])
    assert "sum over all pairs, exact" in capsys.readouterr().out


def test_vectors(tmp_path):
    """They have uncertainties, and refuse ensembles: gates are no last-layer weights."""
    dipole = target_info("mtt::dipole", {"cartesian": {"rank": 1}}, "system")
    targets = {"energy": energy_info(), "mtt::dipole": dipole}
    structures = [rattled(crystal(), seed) for seed in range(16)]
    data = split(make_dataset(structures, targets), 4)
    model = with_uncertainty(targets, *data, tmp_path, {"energy": 4})
    names = ("mtt::aux::dipole_uncertainty", "energy_ensemble")
    deviation, _ = values_of(model.export(), structures[0], *names)
    assert bool((deviation > 0).all())
    with pytest.raises(KeyError, match="mtt::dipole"):
        with_uncertainty(targets, *data, tmp_path, {"mtt::dipole": 4})
