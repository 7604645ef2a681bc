"""Checkpoints lose nothing, and what does not fit is refused."""

import gzip
from pathlib import Path
from typing import Any

import metatensor.torch as mts
import pytest
import torch
from helpers.lorem_models import (
    DIPOLE,
    ENERGY,
    MIXED,
    energies_of,
    fit,
    make_model,
    predict,
)
from helpers.systems import crystal, make_structure, molecule
from metatomic.torch import (
    ModelMetadata,
)
from metatrain.utils.io import model_from_checkpoint

from metatrain_lorem import checkpoints
from metatrain_lorem.coulomb import CoulombSolver
from metatrain_lorem.model import LOREM
from metatrain_lorem.trainer import Trainer


FOLDER = Path(__file__).parent / "checkpoints"


def saved(model: LOREM, path: Path) -> dict[str, Any]:
    """What is left of a model after a file."""
    checkpoint = model.get_checkpoint()
    torch.save(checkpoint, path / "model.ckpt")
    return torch.load(path / "model.ckpt", weights_only=False)


@pytest.mark.parametrize("context", ["restart", "finetune", "export"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_checkpoint(tmp_path, context, dtype):
    """Nothing is lost: predictions, baseline, scales, type and metadata."""
    model = fit(make_model({"energy": ENERGY, "mtt::dipole": DIPOLE}))
    model.metadata = ModelMetadata(name="a name", authors=["somebody"])
    model.network.to(dtype)
    model.readouts.to(dtype)
    checkpoint = saved(model, tmp_path)
    loaded = model_from_checkpoint(checkpoint, context).eval()
    assert loaded.network.species.weight.dtype == dtype
    assert loaded.metadata.name == "a name"
    names = list(model.supported_outputs())
    assert set(loaded.supported_outputs()) == set(names)
    model.double()
    loaded.double()
    expected, results = predict(model, MIXED, names), predict(loaded, MIXED, names)
    for name in names:
        mts.allclose_raise(results[name], expected[name], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("network.species.weight"),
        lambda state: state.pop("readouts.energy.blocks.0.layers.1.bias"),
        lambda state: state.update({"network.unknown.weight": torch.zeros(2)}),
        lambda state: state.update({"network.species.weight": torch.zeros(2, 2)}),
    ],
    ids=["missing", "missing in readout", "unknown", "wrong shape"],
)
def test_loading_is_strict(change):
    checkpoint = make_model().get_checkpoint()
    state = dict(checkpoint["model_state_dict"])
    change(state)
    checkpoint["model_state_dict"] = checkpoint["best_model_state_dict"] = state
    with pytest.raises((KeyError, RuntimeError), match="weight|bias"):
        LOREM.load_checkpoint(checkpoint, "export")


def test_checkpoint_of_later_version():
    checkpoint = make_model().get_checkpoint()
    checkpoint["model_ckpt_version"] = LOREM.__checkpoint_version__ + 1
    with pytest.raises(RuntimeError, match="upgrade the package metatrain-lorem"):
        LOREM.upgrade_checkpoint(checkpoint)


# From the versions that wrote them; eV, of all electrons
ENERGIES = {
    "model-v1_trainer-v1": -201.51508990512295,
    "model-v2_trainer-v1": -200.49840020358567,
    "model-v3_trainer-v1": -210.88353575942324,
    "model-v3_trainer-v2": -205.2902430031393,
    "model-v4_trainer-v2": -205.1392123098351,
    "model-v5_trainer-v3": -206.27353975955882,
}


@pytest.mark.parametrize("name", ENERGIES)
def test_old_checkpoints_keep_their_energies(name):
    """What is new since then is off, or as it was."""
    with gzip.open(FOLDER / f"{name}.ckpt.gz") as file:
        checkpoint = torch.load(file, weights_only=False)
    model = model_from_checkpoint(checkpoint, "export").double().eval()
    water, carbon = molecule().positions, torch.tensor([[3.1, 0.2, 0.1]])
    structure = make_structure([8, 1, 1, 6], torch.cat([water, carbon.double()]))
    energy = float(energies_of(model, structure))
    assert energy == pytest.approx(ENERGIES[name], rel=1e-10)


@pytest.mark.parametrize("accuracy", [1e-5, "reference"])
@pytest.mark.parametrize("smearing", [None, 0.9])
def test_cutoffs_of_earlier_versions(smearing, accuracy):
    """Radial functions and Gaussian charges remain, and crystals keep their energies."""
    long_range = {"max_degree": 1, "smearing": smearing, "accuracy": accuracy}
    model = fit(make_model(long_range=long_range, radial_functions="paper"))
    solver = CoulombSolver(4.0, 0.9 if smearing else 1.0, accuracy=1e-5)
    if accuracy == 1e-5:
        model.network.long_range.coulomb = solver
    checkpoint = model.get_checkpoint()
    checkpoint["model_ckpt_version"] = 3
    del checkpoint["model_data"]["model_hypers"]["radial_functions"]
    loaded = LOREM.load_checkpoint(LOREM.upgrade_checkpoint(checkpoint), "export")
    structure = crystal()
    expected, energy = (energies_of(m.double().eval(), structure) for m in (model, loaded))
    torch.testing.assert_close(energy, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("cls", [LOREM, Trainer])
def test_every_version_has_an_update(cls):
    kind = "model" if cls is LOREM else "trainer"
    updates = checkpoints.UPDATES[f"{kind}_ckpt_version"]
    assert len(updates) == cls.__checkpoint_version__ - 1


def test_updates_one_after_the_other(monkeypatch):
    """From any version on, in order, and none of those that came before."""
    names = ["a", "b", "c"]
    updates = [
        lambda checkpoint, name=name: checkpoint["done"].append(name) for name in names
    ]
    monkeypatch.setitem(checkpoints.UPDATES, "model_ckpt_version", updates)
    for version in range(1, 5):
        checkpoint = {"model_ckpt_version": version, "done": []}
        checkpoints.upgrade(checkpoint, "model_ckpt_version", 4)
        assert checkpoint == {"model_ckpt_version": 4, "done": names[version - 1 :]}


def test_best_and_latest():
    """Training goes on from the latest weights; everything else takes the best."""
    latest, best = make_model(), make_model()
    for parameter in best.parameters():
        parameter.data += 0.1
    checkpoint = latest.get_checkpoint()
    checkpoint["best_model_state_dict"] = best.get_checkpoint()["model_state_dict"]
    for context, model in (("restart", latest), ("finetune", best), ("export", best)):
        loaded = LOREM.load_checkpoint(checkpoint, context).eval()
        expected = energies_of(model, molecule())
        assert torch.equal(energies_of(loaded, molecule()), expected)
