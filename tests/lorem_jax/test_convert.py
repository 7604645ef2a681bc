"""Checkpoints of lorem-jax become ordinary ones of metatrain, and back."""

import shutil

import numpy as np
import pytest
import torch
import yaml
from helpers.energy_model import EnergyModel, evaluate
from helpers.parity_cases import BASELINE, CASES
from helpers.parity_tools import (
    CHECKPOINT,
    FILES,
    all_structures,
    load_references,
    torch_structures,
)
from helpers.training_tools import target_info
from metatomic.torch import ModelOutput, System
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info
from metatrain.utils.io import (
    load_model,
    model_from_checkpoint,
    trainer_from_checkpoint,
)
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_lorem.lorem_jax.convert import (
    from_jax,
    jax_from_model,
    model_from_jax,
    to_jax,
)
from metatrain_lorem.lorem_jax.parameters import (
    jax_parameters,
)
from metatrain_lorem.lorem_jax.settings import hypers_from_settings
from metatrain_lorem.model import LOREM


@pytest.fixture(scope="module")
def reference():
    return load_references("checkpoint")


@pytest.fixture
def checkpoint(tmp_path):
    """The stored model of lorem-jax as a checkpoint of metatrain."""
    path = tmp_path / "model.ckpt"
    from_jax(CHECKPOINT, path, accuracy="reference")
    return path


def metatomic_systems(model: LOREM, dtype: torch.dtype) -> list[System]:
    systems = [
        System(
            types=structure.species.to(torch.int32),
            positions=structure.positions.to(dtype),
            cell=structure.cell.to(dtype),
            pbc=structure.pbc,
        )
        for structure in torch_structures().values()
    ]
    options = get_requested_neighbor_lists(model)
    return [get_system_with_neighbor_lists(system, options) for system in systems]


def predicted_energies(model: LOREM, dtype: torch.dtype) -> np.ndarray:
    outputs = {"energy": ModelOutput(sample_kind="system")}
    model = model.to(dtype).eval()
    results = model(metatomic_systems(model, dtype), outputs)
    return results["energy"].block().values.detach().flatten().numpy()


def baseline_energies() -> np.ndarray:
    return np.array(
        [
            sum(BASELINE[z] for z in structure.species.tolist())
            for structure in torch_structures().values()
        ]
    )


# -- settings --


# -- files --


@pytest.fixture
def folder(tmp_path):
    """A copy of the stored checkpoint, to be spoiled."""
    return shutil.copytree(CHECKPOINT, tmp_path / "copy")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.yaml", {"lorem.LoremBEC": {}}, "model class 'lorem.LoremBEC' is not"),
        ("model.yaml", {"a": {}, "b": {}}, "exactly one class"),
        ("model.yaml", {"lorem.Lorem": {"max_degree": 3}}, "has no parameter"),
        ("baseline.yaml", {"elemental": {}, "other": {}}, "nothing else"),
    ],
)
def test_wrong_files(name, content, message, folder, tmp_path):
    (folder / "model" / name).write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=message):
        from_jax(folder, tmp_path / "model.ckpt")
    assert not (tmp_path / "model.ckpt").exists()


@pytest.mark.parametrize("name", FILES)
def test_missing_files(name, folder, tmp_path):
    (folder / "model" / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        from_jax(folder, tmp_path / "model.ckpt")


# -- models --


def test_converted_model(checkpoint, reference):
    """Energies of lorem-jax in float64, and its baseline."""
    model = load_model(checkpoint)
    assert isinstance(model, LOREM)
    assert model.atomic_types == sorted(BASELINE)
    expected = reference["model/energies"] + baseline_energies()
    energies = predicted_energies(model, torch.float64)
    # The constants of the network, not only its parameters, have been in float32.
    np.testing.assert_allclose(energies, expected, rtol=0, atol=1e-6)


def test_converted_model_float64(jax_model, reference):
    parameters = {p: v.astype(np.float64) for p, v in jax_model.parameters.items()}
    model = model_from_jax(jax_model._replace(parameters=parameters), "reference")
    expected = reference["model/energies"] + baseline_energies()
    energies = predicted_energies(model, torch.float64)
    np.testing.assert_allclose(energies, expected, rtol=0, atol=1e-9)


def test_float32(jax_model, reference):
    """The calculator of lorem-jax and ours, both in float32."""
    model = model_from_jax(jax_model, "reference")
    assert next(model.parameters()).dtype == torch.float32
    graph = all_structures(4.0)
    single = graph._replace(positions=graph.positions.float(), cells=graph.cells.float())
    energy_model = EnergyModel(num_features=1)
    energy_model.network = model.network
    energy_model.readout = model.readouts["energy"]
    results = evaluate(energy_model, single)
    energies = reference["calculator/energies"] - baseline_energies()
    np.testing.assert_allclose(results.energies, energies, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        results.forces, reference["calculator/forces"], rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(results.forces, reference["model/forces"], rtol=0, atol=1e-5)


def test_round_trip(checkpoint, tmp_path):
    """From lorem-jax to metatrain and back, to the byte."""
    to_jax(checkpoint, tmp_path / "back")
    for name in FILES:
        expected = (CHECKPOINT / "model" / name).read_bytes()
        assert (tmp_path / "back" / "model" / name).read_bytes() == expected


def test_round_trip_float64(jax_model):
    parameters = {
        path: values.astype(np.float64) + 1e-12
        for path, values in jax_model.parameters.items()
    }
    jax_model = jax_model._replace(parameters=parameters)
    result = jax_from_model(model_from_jax(jax_model))
    assert result.settings == jax_model.settings
    assert result.baseline == jax_model.baseline
    for path, values in parameters.items():
        assert result.parameters[path].dtype == np.float64
        np.testing.assert_array_equal(result.parameters[path], values)


def test_wrong_dtype(jax_model):
    parameters = {p: v.astype(np.float16) for p, v in jax_model.parameters.items()}
    with pytest.raises(ValueError, match="the parameters are float16"):
        model_from_jax(jax_model._replace(parameters=parameters))


def test_export(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exported = load_model(checkpoint).export()
    exported.save("exported.pt")
    assert exported.capabilities().interaction_range == float("inf")
    assert load_model("exported.pt").capabilities().outputs["energy"].unit == "eV"


@pytest.mark.parametrize("context", ["restart", "finetune"])
def test_training_goes_on(context, checkpoint, jax_model):
    """Data of an energy with forces fit a converted model."""
    content = torch.load(checkpoint, weights_only=False)
    model = model_from_checkpoint(content, context=context)
    hypers = get_default_hypers("metatrain_lorem")["training"]
    trainer = trainer_from_checkpoint(content, context=context, hypers=hypers)
    assert trainer.epoch is None
    target = {"unit": "eV", "quantity": "energy", "description": ""}
    info = DatasetInfo(
        length_unit="Angstrom",
        atomic_types=[1, 8],
        targets={"energy": get_energy_target_info("energy", target, True, True)},
    )
    model = model.restart(info)
    assert jax_from_model(model).baseline == BASELINE
    parameters = jax_parameters(model.network, model.readouts["energy"])
    for path, values in jax_model.parameters.items():
        np.testing.assert_array_equal(parameters[path], values)


# -- from metatrain to lorem-jax --


def make_model(
    targets: dict[str, str],
    length_unit: str = "angstrom",
    types: tuple[int, ...] = (1, 8, 9, 11, 17),
) -> LOREM:
    """A model with energies as targets, given with their units."""
    infos = {
        name: get_energy_target_info(name, {"unit": unit, "description": ""}, True)
        for name, unit in targets.items()
    }
    info = DatasetInfo(length_unit, atomic_types=list(types), targets=infos)
    return LOREM(hypers_from_settings(CASES["tiny"], "reference"), info)


def test_trained_model_to_jax(reference):
    """A scale becomes part of the last layers."""
    model = make_model({"energy": "eV"}).double()
    scaler = model.scaler.model
    for scales in (scaler.scales, scaler.per_target_scales):
        scales["energy"].block().values[:] = 3.25
    expected = predicted_energies(model, torch.float64)
    back = model_from_jax(jax_from_model(model), "reference")
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(
        predicted_energies(back, torch.float64), expected, rtol=1e-12
    )


def test_several_targets():
    model = make_model({"energy": "eV", "mtt::other": "eV"})
    with pytest.raises(ValueError, match=r"one of the targets \['energy', 'mtt::other'\]"):
        jax_from_model(model)
    with pytest.raises(ValueError, match="no target 'third'"):
        jax_from_model(model, "third")
    parameters = jax_from_model(model, "mtt::other").parameters
    other = jax_parameters(model.network, model.readouts["mtt::other"])
    np.testing.assert_array_equal(
        parameters["params/MLP_0/Dense_2/kernel"], other["params/MLP_0/Dense_2/kernel"]
    )


@pytest.mark.parametrize(
    ("targets", "length_unit", "message"),
    [
        ({"energy": "kcal/mol"}, "angstrom", "unit of 'energy' is 'kcal/mol'"),
        ({"energy": "eV"}, "bohr", "the length unit is 'Bohr'"),
    ],
)
def test_wrong_units(targets, length_unit, message):
    with pytest.raises(ValueError, match=message):
        jax_from_model(make_model(targets, length_unit))


def test_targets_that_lorem_jax_lacks():
    vector = target_info("mtt::dipole", {"cartesian": {"rank": 1}}, "system", unit="eV")
    model = make_model({"energy": "eV"})
    model.restart(DatasetInfo("angstrom", [1, 8], {"mtt::dipole": vector}))
    with pytest.raises(ValueError, match="'mtt::dipole' is not a single scalar"):
        jax_from_model(model, "mtt::dipole")


def test_species_that_lorem_jax_lacks():
    with pytest.raises(ValueError, match="has 104 rows; lorem-jax has 100"):
        jax_from_model(make_model({"energy": "eV"}, types=(1, 103)))


def test_wrong_checkpoint(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load_model(checkpoint).export().save("exported.pt")
    with pytest.raises(ValueError, match="'exported.pt' is an exported model"):
        to_jax("exported.pt", tmp_path / "back")
