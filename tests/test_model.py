"""LOREM as metatrain, its checkpoints and its engines see it."""

import copy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import metatensor.torch as mts
import pytest
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelEvaluationOptions,
    ModelMetadata,
    ModelOutput,
    System,
    load_atomistic_model,
)
from metatrain.utils.architectures import check_architecture_options, get_default_hypers
from metatrain.utils.data import Dataset, DatasetInfo, TargetInfo
from metatrain.utils.data.target_info import (
    get_energy_target_info,
    get_generic_target_info,
)
from metatrain.utils.io import model_from_checkpoint
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)
from metatrain.utils.pydantic import MetatrainValidationError
from systems import (
    STRUCTURES,
    Structure,
    crystal,
    distant_atoms,
    lone_ion,
    make_graph,
    make_structure,
    molecule,
    rotation,
    single_atom,
    slab,
    transformed,
)

from metatrain_lorem.baseline import fit_baseline
from metatrain_lorem.model import LOREM


ARCHITECTURE = "metatrain_lorem"
TYPES = [1, 8, 9, 11, 17]
# Energies of all electrons, in eV
BASELINE = {1: -13.6, 8: -2041.3, 9: -2713.5, 11: -4421.0, 17: -12520.1}
SCALE = 2.5
ENERGY = get_energy_target_info("energy", {"quantity": "energy", "unit": "eV"})


def target(name: str, kind: Any, sample_kind: str, number: int = 1) -> TargetInfo:
    options = {
        "quantity": "",
        "unit": "",
        "type": kind,
        "sample_kind": sample_kind,
        "num_subtargets": number,
    }
    return get_generic_target_info(name, options)


DIPOLE = target("mtt::dipole", {"cartesian": {"rank": 1}}, "system")
PARTIAL = target("mtt::partial", "scalar", "atom", number=2)


def small_hypers(**changes: Any) -> dict[str, Any]:
    """Hyper-parameters of a small model; ``long_range`` may hold some keys only."""
    hypers = copy.deepcopy(get_default_hypers(ARCHITECTURE)["model"])
    hypers.update(
        cutoff=4.0,
        max_degree=3,
        num_features=16,
        num_spherical_features=4,
        num_radial=8,
        num_species_features=4,
    )
    hypers["long_range"].update(changes.pop("long_range", {}))
    hypers.update(changes)
    return hypers


def make_info(
    targets: Mapping[str, TargetInfo] | None = None, types: list[int] = TYPES
) -> DatasetInfo:
    return DatasetInfo(
        length_unit="Angstrom",
        atomic_types=types,
        targets=dict(targets or {"energy": ENERGY}),
    )


def make_model(
    targets: Mapping[str, TargetInfo] | None = None,
    types: list[int] = TYPES,
    **changes: Any,
) -> LOREM:
    """A model in float64, of which no parameter is zero or one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LOREM(small_hypers(**changes), make_info(targets, types)).double()
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.data += 0.2 * torch.randn(parameter.shape).double()
            if name.endswith("to_spherical.weight"):
                parameter.data *= 7
    return model.eval()


def make_system(model: torch.nn.Module, structure: Structure) -> System:
    system = System(
        types=structure.species.to(torch.int32),
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
    )
    return get_system_with_neighbor_lists(system, get_requested_neighbor_lists(model))


def random_values(info: TargetInfo, system: System, index: int) -> TensorMap:
    """Data of a target for one system, of no meaning."""
    generator = torch.Generator().manual_seed(index)
    blocks = []
    for block in info.layout.blocks():
        samples = torch.tensor([[index]])
        if info.sample_kind == "atom":
            atoms = torch.arange(len(system)).unsqueeze(1)
            samples = torch.cat([torch.full_like(atoms, index), atoms], dim=1)
        shape = (len(samples), *block.values.shape[1:])
        values = torch.randn(shape, dtype=torch.float64, generator=generator)
        blocks.append(
            TensorBlock(
                values=values,
                samples=Labels(block.samples.names, samples.to(torch.int32)),
                components=block.components,
                properties=block.properties,
            )
        )
    return TensorMap(info.layout.keys, blocks)


def fit(model: LOREM, **hypers: Any) -> LOREM:
    """Baseline and scales of all targets, from fixed values and from random data."""
    structures = [function() for function in STRUCTURES.values()]
    known = set(model.atomic_types)
    structures = [s for s in structures if set(s.species.tolist()) <= known]
    systems = [make_system(model, structure) for structure in structures]
    data = {
        name: [random_values(info, system, i) for i, system in enumerate(systems)]
        for name, info in model.dataset_info.targets.items()
    }
    defaults = {
        "atomic_baseline": {
            "energy": {z: BASELINE.get(z, 0.0) for z in model.atomic_types}
        },
        "fixed_scaling_weights": {"energy": SCALE},
        "scale_targets": True,
        "per_structure_targets": [],
        "batch_size": 2,
    }
    dataset = Dataset.from_dict({"system": systems, **data})
    fit_baseline(model, [dataset], {**defaults, **hypers}, False, "")
    return model.eval()


def predict(
    model: torch.nn.Module,
    structures: list[Structure],
    outputs: list[str] | None = None,
    sample_kind: str = "system",
    selected: list[tuple[int, int]] | None = None,
) -> dict[str, TensorMap]:
    names = outputs or ["energy"]
    systems = [make_system(model, structure) for structure in structures]
    labels = None
    if selected is not None:
        values = torch.tensor(selected, dtype=torch.int32).reshape(-1, 2)
        labels = Labels(["system", "atom"], values)
    requests = {name: ModelOutput(sample_kind=sample_kind) for name in names}
    if isinstance(model, AtomisticModel):
        options = ModelEvaluationOptions("Angstrom", requests, labels)
        return model(systems, options, check_consistency=True)
    return model(systems, requests, labels)


def energies_of(model: torch.nn.Module, *structures: Structure) -> torch.Tensor:
    values = predict(model, list(structures))["energy"].block().values
    return values.detach().flatten()


MIXED = [crystal(), molecule(), single_atom(), slab(), distant_atoms(), lone_ion()]


# --- parameters -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("long_range", "count"),
    [
        ({"enable": False}, 839129),
        ({"max_degree": 0}, 1020300),
        ({"max_degree": 1}, 1020749),
        ({}, 1021198),
    ],
    ids=["no long range", "L_lr = 0", "L_lr = 1", "L_lr = 2"],
)
def test_number_of_parameters(long_range, count):
    """Those of the paper's supplement, each variant one option away from the defaults.

    Path weights of a forbidden coupling are stored, too, and counted as there.
    """
    hypers = get_default_hypers(ARCHITECTURE)["model"]
    hypers["long_range"].update(long_range)
    model = LOREM(hypers, make_info())
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count


# --- predictions ------------------------------------------------------------------------


def test_energy_is_scaled_network_plus_baseline():
    model = fit(make_model())
    nodes = model.network(make_graph(MIXED, 4.0))
    readout = model.readouts["energy"]
    raw = readout(readout.features(nodes.scalars), nodes.spherical)[0].flatten()
    counts = [len(structure.species) for structure in MIXED]
    raw = torch.stack([part.sum() for part in raw.split(counts)]).detach()
    baseline = [sum(BASELINE[z] for z in s.species.tolist()) for s in MIXED]
    expected = SCALE * raw + torch.tensor(baseline, dtype=torch.float64)
    torch.testing.assert_close(energies_of(model, *MIXED), expected, rtol=1e-14, atol=0)

    model.train()
    torch.testing.assert_close(energies_of(model, *MIXED), raw, rtol=1e-13, atol=0)


def test_training_and_evaluation_share_the_physics():
    """Not a bit of difference before scales and baseline."""
    model = fit(make_model())
    graph = make_graph(MIXED, 4.0)
    training, evaluation = model.train().network(graph), model.eval().network(graph)
    for first, second in zip(
        [*training.scalars, *training.spherical, training.charges],
        [*evaluation.scalars, *evaluation.spherical, evaluation.charges],
        strict=True,
    ):
        assert torch.equal(first, second)
    names = ["feature", "mtt::aux::charges", "mtt::aux::energy_last_layer_features"]
    training = predict(model.train(), MIXED, names, "atom")
    evaluation = predict(model.eval(), MIXED, names, "atom")
    for name in names:
        assert mts.equal(training[name], evaluation[name])


def test_all_electron_energies():
    """Totals of -1.5e6 eV hide nothing of a difference of 1e-6 eV in float64."""
    small, large = fit(make_model()), make_model()
    fit(large, atomic_baseline={"energy": {z: -5e5 - z for z in TYPES}})
    moved = molecule()
    positions = moved.positions.clone()
    positions[1] += 1e-6
    moved = moved._replace(positions=positions)
    differences = []
    for model in (small, large):
        energies = energies_of(model, molecule(), moved)
        differences.append(float(energies[0] - energies[1]))
    assert float(energies[0]) < -1.49e6
    assert abs(differences[0]) > 1e-7
    assert differences[1] == pytest.approx(differences[0], abs=1e-9)


@pytest.mark.parametrize("sample_kind", ["atom", "system"])
def test_outputs(sample_kind):
    """Everything that is offered comes, with one row per atom or system."""
    model = fit(make_model({"energy": ENERGY, "mtt::dipole": DIPOLE}))
    assert set(model.supported_outputs()) == {
        "energy",
        "mtt::dipole",
        "feature",
        "mtt::aux::charges",
        "mtt::aux::potentials",
        "mtt::aux::energy_last_layer_features",
        "mtt::aux::dipole_last_layer_features",
    }
    num_rows = len(MIXED)
    if sample_kind == "atom":
        num_rows = sum(len(structure.species) for structure in MIXED)
    columns = {
        "energy": (1,),
        "mtt::dipole": (3, 1),
        "feature": (2 * 16,),
        "mtt::aux::charges": (10,),
        "mtt::aux::potentials": (10,),
        "mtt::aux::energy_last_layer_features": (2 * 16,),
        "mtt::aux::dipole_last_layer_features": (2 * 16,),
    }
    results = predict(model, MIXED, list(columns), sample_kind)
    assert set(results) == set(columns)
    for name, shape in columns.items():
        assert results[name].block().values.shape == (num_rows, *shape)


def test_outputs_without_long_range():
    model = make_model(long_range={"enable": False})
    assert set(model.supported_outputs()) == {
        "energy",
        "feature",
        "mtt::aux::energy_last_layer_features",
    }


def test_atoms_sum_to_systems():
    model = fit(make_model({"energy": ENERGY, "mtt::partial": PARTIAL}))
    names = ["energy", "mtt::partial", "feature", "mtt::aux::charges"]
    atoms = predict(model, MIXED, names, "atom")
    systems = predict(model, MIXED, names, "system")
    for name in names:
        block = atoms[name].block()
        expected = torch.zeros_like(systems[name].block().values).index_add(
            0, block.samples.column("system").long(), block.values
        )
        torch.testing.assert_close(
            systems[name].block().values, expected, rtol=1e-12, atol=1e-12
        )


def test_one_output_does_not_depend_on_others():
    model = fit(make_model({"energy": ENERGY, "mtt::dipole": DIPOLE}))
    names = list(model.supported_outputs())
    together = predict(model, MIXED, names)
    for name in names:
        assert mts.equal(predict(model, MIXED, [name])[name], together[name])


def test_vectors_turn_with_the_system():
    """With components x, y, z; a reflection is none of the rotations."""
    model = make_model({"energy": ENERGY, "mtt::dipole": DIPOLE})
    matrix = -rotation(3)
    turned = [transformed(structure, matrix) for structure in MIXED]
    vectors, others = [
        predict(model, structures, ["mtt::dipole"])["mtt::dipole"].block().values
        for structures in (MIXED, turned)
    ]
    assert float(vectors.detach().abs().max()) > 1e-2
    torch.testing.assert_close(others, matrix @ vectors, rtol=1e-10, atol=1e-10)


def test_same_system_several_times():
    """Objects that a batch shares are not changed by it."""
    model = fit(make_model())
    system = make_system(model, crystal())
    outputs = {"energy": ModelOutput(sample_kind="system")}
    energies = model([system, system, system], outputs)["energy"].block().values.flatten()
    torch.testing.assert_close(energies, energies_of(model, crystal()).repeat(3))
    assert system.known_neighbor_lists() == model.requested_neighbor_lists()


def test_no_systems_and_no_outputs():
    model = fit(make_model())
    assert predict(model, []) == {}
    assert model([make_system(model, molecule())], {}) == {}


def test_values_of_neighbor_list_are_not_used():
    """Distances and indices of pairs cannot disagree, as the former are computed."""
    model = fit(make_model())
    system = make_system(model, crystal())
    (options,) = model.requested_neighbor_lists()
    pairs = system.get_neighbor_list(options)
    wrong = System(system.types, system.positions, system.cell, system.pbc)
    wrong.add_neighbor_list(
        options,
        TensorBlock(
            values=pairs.values.flip(0),
            samples=pairs.samples,
            components=pairs.components,
            properties=pairs.properties,
        ),
    )
    outputs = {"energy": ModelOutput(sample_kind="system")}
    assert mts.equal(model([system], outputs)["energy"], model([wrong], outputs)["energy"])


# --- selected atoms ---------------------------------------------------------------------

EVERY = [(i, atom) for i, s in enumerate(MIXED) for atom in range(len(s.species))]
SELECTIONS = {
    "all": EVERY,
    "reordered": EVERY[::-1],
    "some": [EVERY[i] for i in (0, 3, 8, 9, 12, 14)],
    "some, reordered": [EVERY[i] for i in (9, 0, 14, 3, 12, 8)],
    "one system": [pair for pair in EVERY if pair[0] == 1],
    "none": [],
}


@pytest.fixture(scope="module")
def selection_model() -> LOREM:
    """With outputs of all kinds; the scales of one depend on the species."""
    return fit(
        make_model({"energy": ENERGY, "mtt::dipole": DIPOLE, "mtt::partial": PARTIAL})
    )


@pytest.mark.parametrize("name", SELECTIONS)
def test_selected_atoms(selection_model, name):
    """A selection is a slice of the full result: all atoms take part in the physics."""
    names = list(selection_model.supported_outputs())
    full = predict(selection_model, MIXED, names, "atom")
    selected = predict(selection_model, MIXED, names, "atom", SELECTIONS[name])
    for output in names:
        block, part = full[output].block(), selected[output].block()
        rows = [EVERY.index(pair) for pair in SELECTIONS[name]]
        assert len(part.samples) == len(rows)
        order = [part.samples.position(list(pair)) for pair in SELECTIONS[name]]
        torch.testing.assert_close(
            part.values[order], block.values[rows], rtol=1e-13, atol=1e-13
        )


@pytest.mark.parametrize("name", SELECTIONS)
def test_sums_over_selected_atoms(selection_model, name):
    """Per system, a selection sums over its atoms; other systems have no row."""
    selection = SELECTIONS[name]
    names = list(selection_model.supported_outputs())
    full = predict(selection_model, MIXED, names, "atom")
    sums = predict(selection_model, MIXED, names, "system", selection)
    rows = [EVERY.index(pair) for pair in selection]
    systems = sorted({pair[0] for pair in selection})
    for output in names:
        block, result = full[output].block(), sums[output].block()
        assert result.samples.column("system").tolist() == systems
        expected = torch.zeros(len(MIXED), *block.values.shape[1:], dtype=torch.float64)
        expected = expected.index_add(
            0, block.samples.column("system").long()[rows], block.values[rows]
        )
        torch.testing.assert_close(result.values, expected[systems], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sample_kind", ["atom", "system"])
def test_selected_atoms_of_engines(selection_model, sample_kind):
    """metatomic agrees with the samples, for any selection; a selection of all atoms,
    which LAMMPS asks for, changes nothing.
    """
    exported = copy.deepcopy(selection_model).export()
    names = list(selection_model.supported_outputs())
    full = predict(exported, MIXED, names, sample_kind)
    for selection in SELECTIONS.values():
        results = predict(exported, MIXED, names, sample_kind, selection)
        if selection == EVERY:
            for name in names:
                mts.allclose_raise(results[name], full[name], rtol=1e-13, atol=1e-13)


# --- export -----------------------------------------------------------------------------


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
    model = fit(make_model({"energy": ENERGY, "mtt::dipole": DIPOLE}))
    names = list(model.supported_outputs())
    expected = predict(model, MIXED, names)
    model.export().save(str(tmp_path / "model.pt"))
    loaded = load_atomistic_model(str(tmp_path / "model.pt"))
    results = predict(loaded, MIXED, names)
    for name in names:
        mts.allclose_raise(results[name], expected[name], rtol=1e-12, atol=1e-12)


def test_export_in_float32():
    model = fit(make_model())
    expected = energies_of(model, molecule())
    exported = model.float().export()
    assert exported.capabilities().dtype == "float32"
    system = make_system(exported, molecule()).to(torch.float32)
    options = ModelEvaluationOptions("", {"energy": ModelOutput(sample_kind="system")})
    energy = exported([system], options, check_consistency=True)["energy"].block().values
    # float32 resolves energies of -2e3 eV to 1e-4 eV.
    torch.testing.assert_close(
        energy.flatten().double(), expected, rtol=2e-7, atol=0, check_dtype=False
    )


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


# --- checkpoints ------------------------------------------------------------------------


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


# --- restart ----------------------------------------------------------------------------


def test_restart_on_the_same_data():
    """Changes nothing, and nothing is left to fit."""
    model = fit(make_model())
    expected = energies_of(model, *MIXED)
    restarted = LOREM.load_checkpoint(model.get_checkpoint(), "restart")
    restarted = restarted.restart(make_info(), small_hypers()).eval()
    assert torch.equal(energies_of(restarted, *MIXED), expected)
    assert restarted.scaler.new_outputs == []
    assert torch.equal(energies_of(fit(restarted), *MIXED), expected)


def test_restart_with_other_hypers():
    model = make_model()
    with pytest.raises(ValueError, match="max_degree"):
        model.restart(make_info(), small_hypers(max_degree=2))


def test_restart_on_a_new_target():
    """What was learned stays; the new readout gets baseline and scale of its own."""
    model = fit(make_model())
    expected = energies_of(model, *MIXED)
    model.restart(make_info({"energy": ENERGY, "mtt::dipole": DIPOLE})).double()
    fit(model)
    assert torch.equal(energies_of(model, *MIXED), expected)
    assert set(model.dataset_info.targets) == {"energy", "mtt::dipole"}
    dipoles = predict(model, MIXED, ["mtt::dipole"])["mtt::dipole"].block().values
    assert bool(dipoles.any())
    again = LOREM.load_checkpoint(model.get_checkpoint(), "export").eval()
    names = list(model.supported_outputs())
    first, second = predict(model, MIXED, names), predict(again, MIXED, names)
    for name in names:
        mts.allclose_raise(second[name], first[name], rtol=1e-14, atol=1e-14)
    predict(again.export(), MIXED, names)


def test_restart_on_new_species(caplog):
    """The network knows them from the start; their baseline is fitted."""
    model = fit(make_model(types=[1, 8]))
    network = copy.deepcopy(model.network)
    model.restart(make_info(types=[8, 11, 17]))
    assert "New atomic types [11, 17]" in caplog.text
    assert model.atomic_types == [1, 8, 11, 17]
    fit(model.double())
    for name, value in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value)

    graph = make_graph([crystal()], 4.0)
    nodes, readout = model.network(graph), model.readouts["energy"]
    raw = readout(readout.features(nodes.scalars), nodes.spherical)[0].sum()
    # The scale is kept: what was learned was learned in its units.
    expected = SCALE * float(raw.detach()) + 4 * (BASELINE[11] + BASELINE[17])
    assert float(energies_of(model, crystal())) == pytest.approx(expected, rel=1e-13)

    again = LOREM.load_checkpoint(model.get_checkpoint(), "export").eval()
    assert torch.equal(energies_of(again, *MIXED[:2]), energies_of(model, *MIXED[:2]))
    assert again.export().capabilities().atomic_types == [1, 8, 11, 17]


def test_restart_on_new_species_and_target():
    model = fit(make_model(types=[1, 8]))
    targets = {"energy": ENERGY, "mtt::dipole": DIPOLE}
    model.restart(make_info(targets, types=[1, 8, 11, 17])).double()
    fit(model)
    assert set(predict(model, MIXED[:2], list(targets))) == set(targets)
    assert set(model.dataset_info.targets) == set(targets)
    assert model.dataset_info.atomic_types == [1, 8, 11, 17]


def test_restart_on_new_species_and_another_target():
    """A target that the new data lack keeps its baseline, zero for the new species."""
    model = fit(make_model(types=[1, 8]))
    expected = energies_of(model, molecule())
    model.restart(make_info({"mtt::dipole": DIPOLE}, types=[1, 8, 17])).double().eval()
    torch.testing.assert_close(energies_of(model, molecule()), expected, rtol=1e-14, atol=0)
    again = LOREM.load_checkpoint(model.get_checkpoint(), "export").eval()
    structures = [molecule(), single_atom()]
    assert torch.equal(energies_of(again, *structures), energies_of(model, *structures))
    assert abs(float(energies_of(model, single_atom()))) < 100


def test_restart_beyond_the_embedding():
    model = fit(make_model(types=[1, 8]))
    with pytest.raises(ValueError, match="atomic type 101 is beyond"):
        model.restart(make_info(types=[1, 8, 101]))
    # As before
    assert model.atomic_types == [1, 8]
    assert model.dataset_info.atomic_types == [1, 8]


def test_restart_on_new_species_with_scales_per_species():
    targets = {"energy": ENERGY, "mtt::partial": PARTIAL}
    model = fit(make_model(targets, types=[1, 8]))
    with pytest.raises(ValueError, match="mtt::partial"):
        model.restart(make_info(targets, types=[1, 8, 11]))


# --- options ----------------------------------------------------------------------------

WRONG = [
    ({"cutoff": -1.0}, "cutoff", "-1.0"),
    ({"cutoff": 0.0}, "cutoff", "0.0"),
    ({"cutoff": float("nan")}, "cutoff", "nan"),
    ({"cutoff": float("inf")}, "cutoff", "inf"),
    ({"max_degree": -1}, "max_degree", "-1"),
    ({"num_features": 0}, "num_features", "0"),
    ({"num_spherical_features": 0}, "num_spherical_features", "0"),
    ({"num_radial": 0}, "num_radial", "0"),
    ({"num_species_features": 0}, "num_species_features", "0"),
    ({"num_message_passing": -1}, "num_message_passing", "-1"),
    ({"long_range": {"max_degree": 4}}, "long_range.max_degree", "4"),
    ({"long_range": {"max_degree": -1}}, "long_range.max_degree", "-1"),
    ({"long_range": {"smearing": 0.0}}, "long_range.smearing", "0.0"),
    ({"long_range": {"smearing": -0.5}}, "long_range.smearing", "-0.5"),
    ({"long_range": {"accuracy": 2}}, "long_range.accuracy", "2"),
    ({"long_range": {"accuracy": 0.0}}, "long_range.accuracy", "0.0"),
    ({"long_range": {"accuracy": -1e-6}}, "long_range.accuracy", "-1e-06"),
    ({"long_range": {"accuracy": "best"}}, "long_range.accuracy", "'best'"),
    ({"cutoff": "wide"}, "cutoff", "'wide'"),
    ({"num_features": 2.5}, "num_features", "2.5"),
    ({"num_feature": 3}, "num_feature", "3"),
    ({"long_range": {"enabled": False}}, "long_range.enabled", "False"),
]


@pytest.mark.parametrize(("changes", "key", "value"), WRONG)
def test_wrong_values(changes, key, value):
    with pytest.raises(ValueError, match="hyper-parameter") as error:
        LOREM(small_hypers(**copy.deepcopy(changes)), make_info())
    assert f"'{key}'" in str(error.value)
    assert value in str(error.value)


def options(**changes: Any) -> dict[str, Any]:
    """Options as metatrain checks them: a user's in place of the defaults."""
    options = get_default_hypers(ARCHITECTURE, base_precision=64)
    for key, value in changes.items():
        if isinstance(value, dict):
            options["model"][key].update(value)
        else:
            options["model"][key] = value
    return options


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_feature": 3}, ["num_feature"]),
        ({"long_range": {"enabled": True}}, ["enabled", "long_range"]),
        ({"cutoff": "wide"}, ["cutoff", "wide"]),
        ({"max_degree": 2.5}, ["max_degree", "2.5"]),
        ({"max_degree": None}, ["max_degree"]),
        ({"long_range": {"max_degree": "two"}}, ["max_degree", "two"]),
        ({"long_range": {"accuracy": "best"}}, ["accuracy", "best"]),
        ({"long_range": {"smearing": "wide"}}, ["smearing", "wide"]),
        ({"long_range": 3}, ["long_range"]),
    ],
)
def test_wrong_options(changes, words):
    """Those that metatrain refuses before it reads any data."""
    with pytest.raises(MetatrainValidationError, match="validation errors") as error:
        check_architecture_options(ARCHITECTURE, options(**changes))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cutoff": 6},
        {"num_message_passing": 2, "equivariant_message_passing": False},
        {"long_range": {"enable": False}},
        {"long_range": {"accuracy": 1e-8, "smearing": 1.2}},
        {"long_range": {"accuracy": "reference"}},
    ],
)
def test_right_options(changes):
    check_architecture_options(ARCHITECTURE, options(**changes))
    model = make_model(**copy.deepcopy(changes))
    assert bool(torch.isfinite(energies_of(model, *MIXED)).all())


def test_options_reach_the_network():
    model = make_model(
        cutoff=3.5,
        num_message_passing=1,
        long_range={"smearing": 0.8, "accuracy": 1e-9, "max_degree": 1},
    )
    assert model.network.cutoff == model.requested_neighbor_lists()[0].cutoff == 3.5
    assert len(model.network.messages) == 1
    coulomb = model.network.long_range.coulomb
    assert coulomb.cutoff == 3.5
    assert coulomb.smearing == 0.8
    nodes = model.network(make_graph([molecule()], 3.5))
    assert nodes.charges.shape[1] == 1 + 4
    default = make_model(long_range={"accuracy": 1e-2})
    assert not torch.equal(
        energies_of(default, crystal()), energies_of(make_model(), crystal())
    )


def test_neighbor_list_is_full_and_strict():
    (request,) = make_model().requested_neighbor_lists()
    assert request.full_list
    assert request.strict
    assert request.cutoff == 4.0


# --- periodicity ------------------------------------------------------------------------


def test_wire_is_refused():
    wire = make_structure(
        [1, 8], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[3.0, 0, 0]] * 3, (True, False, False)
    )
    model = make_model()
    with pytest.raises(ValueError, match="system 1 is periodic in one direction"):
        predict(model, [molecule(), wire])
    short_ranged = make_model(long_range={"enable": False})
    assert bool(torch.isfinite(energies_of(short_ranged, molecule(), wire)).all())


def test_cell_without_volume_is_refused():
    flat = molecule()._replace(pbc=torch.tensor([True, True, True]))
    flat = flat._replace(cell=torch.tensor([[5.0, 0, 0], [0, 5.0, 0], [5.0, 5.0, 0]]))
    flat = flat._replace(cell=flat.cell.double())
    model = make_model()
    system = System(flat.species.int(), flat.positions, flat.cell, flat.pbc)
    (request,) = model.requested_neighbor_lists()
    pairs = make_system(model, molecule()).get_neighbor_list(request)
    system.add_neighbor_list(request, pairs)
    with pytest.raises(ValueError, match="system 0 .* no volume"):
        model([system], {"energy": ModelOutput(sample_kind="system")})
