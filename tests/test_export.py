"""Exported models: what engines load, and what they are told."""

import copy
import logging
import re
import subprocess
import sys

import ase
import ase.io
import metatensor.torch as mts
import numpy as np
import pytest
import torch
from helpers.lorem_models import (
    DIPOLE,
    ENERGY,
    MATRIX,
    MIXED,
    TYPES,
    energies_of,
    fit,
    make_model,
    make_system,
    predict,
)
from helpers.systems import crystal, molecule, translated
from metatomic.torch import (
    ModelMetadata,
    ModelOutput,
    System,
    load_atomistic_model,
)
from metatomic_ase import MetatomicCalculator
from metatrain.cli.eval import eval_model
from omegaconf import OmegaConf


@pytest.mark.parametrize("num_message_passing", [0, 2])
@pytest.mark.parametrize("enable", [True, False])
def test_interaction_range(enable, num_message_passing):
    """Infinite exactly with long range: no engine may cut such a system into pieces."""
    model = make_model(
        long_range={"enable": enable}, num_message_passing=num_message_passing
    )
    capabilities = model.export().capabilities()
    expected = float("inf") if enable else 4.0 * (1 + num_message_passing)
    assert capabilities.interaction_range == expected
    assert capabilities.length_unit == "Angstrom"
    assert capabilities.atomic_types == TYPES
    assert capabilities.dtype == "float64"


LOAD_AND_PREDICT = """
import sys
import torch
from metatomic.torch import ModelEvaluationOptions, ModelOutput, System
from metatomic.torch import load_atomistic_model

model = load_atomistic_model(sys.argv[1])
inputs = torch.load(sys.argv[2], weights_only=False)
system = System(*inputs["system"])
system.add_neighbor_list(*inputs["neighbors"])
options = ModelEvaluationOptions(
    "Angstrom", {"energy": ModelOutput(unit="eV", sample_kind="system")}
)
energy = model([system], options, check_consistency=True)["energy"].block().values
forces = torch.autograd.grad(-energy.sum(), system.positions)[0]
torch.save((energy.detach(), forces), sys.argv[3])
names = {name.split(".")[0] for name in sys.modules}
print(names & {"metatrain", "metatrain_lorem", "e3nn"})
"""


@pytest.mark.filterwarnings("ignore:This system's positions or cell requires grad")
def test_exported_file(tmp_path):
    """One file that runs where neither metatrain nor this package is installed."""
    model = fit(make_model())
    model.export(ModelMetadata(name="test")).save(
        str(tmp_path / "model.pt"), collect_extensions=str(tmp_path / "extensions")
    )
    assert not list(tmp_path.rglob("extensions/*"))

    system = make_system(model, crystal())
    (options,) = model.requested_neighbor_lists()
    positions = system.positions.clone().requires_grad_()
    inputs = {
        "system": (system.types, positions, system.cell, system.pbc),
        "neighbors": (options, system.get_neighbor_list(options)),
    }
    torch.save(inputs, tmp_path / "inputs.pt")
    files = [str(tmp_path / name) for name in ("model.pt", "inputs.pt", "results.pt")]
    result = subprocess.run(
        [sys.executable, "-c", LOAD_AND_PREDICT, *files], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "set()"

    energy, forces = torch.load(files[2])
    moving = System(system.types, positions, system.cell, system.pbc)
    moving.add_neighbor_list(options, system.get_neighbor_list(options))
    outputs = {"energy": ModelOutput(sample_kind="system")}
    expected = model([moving], outputs)["energy"].block().values
    (gradient,) = torch.autograd.grad(expected.sum(), positions)
    torch.testing.assert_close(energy, expected.detach(), rtol=1e-14, atol=0)
    torch.testing.assert_close(forces, -gradient, rtol=1e-12, atol=1e-12)
    assert float(forces.abs().max()) > 0.1


def test_exported_is_the_same(tmp_path):
    """For all kinds of systems and outputs, also in one batch, and in float32."""
    targets = {"energy": ENERGY, "mtt::dipole": DIPOLE, "mtt::apt": MATRIX}
    model = fit(make_model(targets, zero_sum_targets=["mtt::apt"]))
    names = list(model.supported_outputs())
    expected = predict(model, MIXED, names)
    model.export().save(str(tmp_path / "model.pt"))
    loaded = load_atomistic_model(str(tmp_path / "model.pt"))
    results = predict(loaded, MIXED, names)
    for name in names:
        mts.allclose_raise(results[name], expected[name], rtol=1e-12, atol=1e-12)


def in_single(model, folder):
    """As after training in float32, from a file."""
    single = copy.deepcopy(model)
    single.network.float()
    single.readouts.float()
    single.export().save(str(folder / "single.pt"))
    return load_atomistic_model(str(folder / "single.pt"))


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """With energies of -7e4 eV for `MIXED`."""
    return in_single(fit(make_model()), tmp_path_factory.mktemp("single"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """With -1e6 eV for each atom."""
    model = fit(make_model(), atomic_baseline={"energy": dict.fromkeys(TYPES, -1e6)})
    return in_single(model, tmp_path_factory.mktemp("large"))


@pytest.mark.parametrize("shift", [0.0, 1e5])
def test_float64_at_the_edge(shift, single):
    """The network in float32, and nothing else: neither positions nor total energies."""
    assert single.capabilities().dtype == "float64"
    assert single.module.network.species.weight.dtype == torch.float32
    # What `mtt eval` takes for systems and labels
    assert next(single.parameters()).dtype == torch.float64
    structures = [translated(structure, [shift] * 3) for structure in MIXED]
    # float32 resolves these energies to 4e-3 eV
    expected = energies_of(fit(make_model()), *MIXED)
    results = energies_of(single, *structures)
    assert results.dtype == torch.float64
    torch.testing.assert_close(results, expected, rtol=0, atol=2e-5)
    # The network itself rounds to single precision
    torch.testing.assert_close(energies_of(single, *MIXED), results, rtol=0, atol=5e-6)


def test_float64_derivatives(single):
    """Forces and stress of the float32 network, wherever the system is."""
    atoms = ase.Atoms(
        crystal().species.numpy(),
        crystal().positions.numpy(),
        cell=crystal().cell.numpy(),
        pbc=True,
    )
    results = []
    for form in (fit(make_model()).export(), single):
        for shift in (0.0, 1e5):
            moved = atoms.copy()
            moved.positions += shift
            moved.calc = MetatomicCalculator(form)
            results.append((moved.get_forces(), moved.get_stress()))
    for forces, stress in results[1:]:
        np.testing.assert_allclose(forces, results[0][0], atol=3e-5)
        np.testing.assert_allclose(stress, results[0][1], atol=1e-6)


def test_steps_of_large_energies(large):
    """A scan of a bond, at more than the energies of all electrons."""
    small = fit(make_model(), atomic_baseline={"energy": 0.0})
    structures = []
    for i in range(6):
        positions = molecule().positions.clone()
        positions[1, 1] += 0.01 * i
        structures.append(molecule()._replace(positions=positions))
    expected = energies_of(small, *structures)
    results = energies_of(large, *structures)
    steps, expected_steps = results.diff(), expected.diff()
    assert float(expected_steps.abs().min()) > 1e-5
    torch.testing.assert_close(steps, expected_steps, rtol=0, atol=1e-5)


EVALUATION = """
systems: {read_from: frames.xyz, length_unit: Angstrom}
targets:
  energy: {read_from: frames.xyz, key: total, unit: eV, forces: off, stress: off}
"""


def test_mtt_eval(large, tmp_path, monkeypatch, caplog):
    """The numbers that engines get: neither positions nor totals are rounded to float32."""
    monkeypatch.chdir(tmp_path)
    structures = [translated(structure, [1e5] * 3) for structure in MIXED]
    energies = energies_of(large, *structures)
    frames = [
        ase.Atoms(s.species.numpy(), s.positions.numpy(), cell=s.cell.numpy(), pbc=s.pbc)
        for s in structures
    ]
    for frame, energy in zip(frames, energies, strict=True):
        frame.info["total"] = float(energy) + 0.01 * len(frame)
    ase.io.write("frames.xyz", frames)
    with caplog.at_level(logging.INFO):
        eval_model(large, OmegaConf.create(EVALUATION), check_consistency=True)
    assert "with dtype torch.float64" in caplog.text
    predicted = [frame.get_potential_energy() for frame in ase.io.read("output.xyz", ":")]
    np.testing.assert_allclose(predicted, energies.numpy(), rtol=0, atol=1e-5)
    (error,) = re.findall(r"energy RMSE \(per atom\): ([0-9.]+) meV", caplog.text)
    assert float(error) == pytest.approx(10.0, abs=1e-2)


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match="unsupported dtype torch.float16"):
        make_model().half().export()


def test_trains_on_after_export():
    """Exported weights stay as they were, with the tables made from them."""
    model = fit(make_model())
    before = energies_of(model, molecule())
    exported = model.export()
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.mul_(1.1)
    after = energies_of(model, molecule())
    assert float((after - before).abs()) > 1e-3
    torch.testing.assert_close(energies_of(exported, molecule()), before)


def test_unknown_species():
    model = make_model().export()
    with pytest.raises((ValueError, RuntimeError), match="atomic type '55'"):
        predict(model, [molecule()._replace(species=torch.tensor([55, 1, 1]))])


@pytest.mark.parametrize("types", [[1, 100, 102], [1, 8, 300]])
def test_heavy_species(types):
    """From fermium on, the species embedding grows with the data."""
    model = make_model(types=types)
    exported = copy.deepcopy(model).export()
    energies = []
    for species in types:
        structure = molecule()._replace(species=torch.tensor([species, 1, 1]))
        energies.append(float(energies_of(model, structure)))
        expected = float(energies_of(exported, structure))
        assert energies[-1] == pytest.approx(expected, rel=1e-13)
    assert len({round(energy, 4) for energy in energies}) == 3


def test_weights_that_are_not_finite():
    model = make_model()
    model.network.species.weight.data[3, 0] = float("nan")
    with pytest.raises(RuntimeError, match="'network.species.weight' are not finite in"):
        model.export()
