"""Training: restarts, batches, losses, and what happens when something is wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import metatensor.torch as mts
import pytest
import torch
from ase.io import read
from helpers.systems import (
    crystal,
    distant_atoms,
    lone_ion,
    make_structure,
    molecule,
    single_atom,
    skewed_crystal,
    slab,
)
from helpers.training_tools import (
    ARCHITECTURE,
    DIMERS,
    assert_same_state,
    dimers,
    energy_info,
    make_dataset,
    read_dataset,
    small_model,
    split,
    target_info,
    train,
    training_hypers,
    types_of,
    with_muon,
)
from metatrain.utils.architectures import check_architecture_options, get_default_hypers
from metatrain.utils.data import Dataset, DiskDataset
from metatrain.utils.data.writers import DiskDatasetWriter
from metatrain.utils.evaluate_model import evaluate_model
from metatrain.utils.io import model_from_checkpoint, trainer_from_checkpoint
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)
from metatrain.utils.pydantic import MetatrainValidationError
from omegaconf import OmegaConf
from torch.utils.data import Subset

from metatrain_lorem.trainer import Trainer
from metatrain_lorem.training import baseline as baseline_module


# Not part of this repository: a folder beside it
SHARED = Path(__file__).parents[3] / "shared" / "data"
ALL_ELECTRON = SHARED / "mgo_surface" / "au2_mgo_n2p2_18.xyz"
BORN_CHARGES = SHARED / "bec_apt" / "spice_water_81.xyz"


# --- restarts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [("Adam", "linear"), pytest.param("Muon", "warmup_cosine", marks=with_muon)],
)
def test_restart_repeats_an_uninterrupted_run(optimizer, schedule, tmp_path):
    """Bit for bit, with structures in the same order and the best model the same."""
    dataset, targets = dimers(14)
    training, validation = split(dataset, 2)
    # Two data sets, so that there is also an order between them
    training = [torch.utils.data.Subset(training[0], range(*r)) for r in [(0, 5), (5, 12)]]
    hypers = training_hypers(
        targets,
        num_epochs=4,
        checkpoint_interval=1,
        batch_size=2,
        optimizer=optimizer,
        schedule=schedule,
        warmup_fraction=0.4,
        scale_targets=True,
    )
    model, trainer = small_model(targets, types_of(dataset)), Trainer(hypers)
    train(model, trainer, training, validation, tmp_path)

    checkpoint = torch.load(tmp_path / "model_1.ckpt", weights_only=False)
    torch.manual_seed(17)  # another process
    restarted = model_from_checkpoint(checkpoint, "restart").restart(model.dataset_info)
    other = trainer_from_checkpoint(checkpoint, "restart", hypers)
    assert other.epoch == 1
    train(restarted, other, training, validation)
    assert_same_state(model, restarted)
    assert other.epoch == trainer.epoch == 3
    assert other.best_epoch == trainer.best_epoch
    assert other.best_metric == trainer.best_metric
    for name, value in trainer.best_model_state_dict.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other.best_model_state_dict[name]), name


OPTIONS = f"""
seed: 3
architecture:
  name: {ARCHITECTURE}
  model: {{max_degree: 1, num_features: 4, num_radial: 2, long_range: {{max_degree: 0}}}}
  training: {{num_epochs: 3, batch_size: 8, checkpoint_interval: 1}}
training_set:
  systems: {{read_from: {DIMERS}, length_unit: Angstrom}}
  targets: {{energy: {{key: relative_energy, unit: eV, forces: {{key: forces}}}}}}
validation_set: 0.2
test_set: 0.1
"""


def mtt(folder: Path, *arguments: str) -> None:
    """metatrain's command line."""
    command = [sys.executable, "-m", "metatrain", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_restart_on_the_command_line(tmp_path):
    """``mtt train --restart auto`` after the loss of all but the first epoch."""
    (tmp_path / "options.yaml").write_text(OPTIONS)
    mtt(tmp_path, "train", "options.yaml")
    complete = torch.load(tmp_path / "model.ckpt", weights_only=False)
    assert complete["epoch"] == 2
    for path in [*tmp_path.glob("model.*"), *tmp_path.glob("outputs/*/*/*")]:
        if path.name not in ("model_0.ckpt", "composition_model.ckpt"):
            path.unlink() if path.is_file() else None

    mtt(tmp_path, "train", "options.yaml", "--restart", "auto")
    restarted = torch.load(tmp_path / "model.ckpt", weights_only=False)
    assert restarted["epoch"] == 2
    assert restarted["best_epoch"] == complete["best_epoch"]
    for key in ("model_state_dict", "best_model_state_dict"):
        for name, value in complete[key].items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, restarted[key][name]), name


def test_zero_epochs():
    """The model is saved as it is; nothing divides by the number of steps."""
    dataset, targets = dimers(4)
    model = small_model(targets, types_of(dataset))
    trainer = Trainer(training_hypers(targets, num_epochs=0))
    train(model, trainer, [dataset], [dataset])
    assert trainer.epoch is None


def test_without_validation():
    """The latest model counts as the best one."""
    dataset, targets = dimers(4)
    model = small_model(targets, types_of(dataset))
    trainer = Trainer(training_hypers(targets, num_epochs=2))
    train(model, trainer, [dataset], [torch.utils.data.Subset(dataset, [])])
    assert trainer.best_epoch == 1


# --- batches ----------------------------------------------------------------------------


def test_neighbor_lists_are_computed_once(monkeypatch):
    """Per structure, however many epochs there are; the user's data stay as they were."""
    make_transform = baseline_module.get_system_with_neighbor_lists_transform
    counts: dict[int, int] = {}

    def counting(requests: Any) -> Any:
        transform = make_transform(requests)

        def counted(systems: Any, targets: Any, extra: Any) -> Any:
            for system in systems:
                key = hash(system.positions.numpy().tobytes())
                counts[key] = counts.get(key, 0) + 1
            return transform(systems, targets, extra)

        return counted

    name = "get_system_with_neighbor_lists_transform"
    monkeypatch.setattr(baseline_module, name, counting)
    dataset, targets = dimers(8)
    model = small_model(targets, types_of(dataset))
    trainer = Trainer(training_hypers(targets, num_epochs=3, batch_size=2))
    train(model, trainer, *split(dataset, 3))
    assert len(counts) == 8
    assert set(counts.values()) == {1}
    assert all(not dataset[i]["system"].known_neighbor_lists() for i in range(8))


def test_data_on_disk(tmp_path):
    """Read while training, by this or by another process: the same model."""
    dataset, targets = dimers(6)
    writer = DiskDatasetWriter(str(tmp_path / "data.zip"))
    for i in range(len(dataset)):
        writer.write([dataset[i]["system"]], {"energy": dataset[i]["energy"]})
    writer.finish()
    disk = DiskDataset(str(tmp_path / "data.zip"))
    expected: dict[str, torch.Tensor] = {}
    for data, num_workers in ((dataset, 0), (disk, 0), (disk, 1)):
        model = small_model(targets, types_of(dataset))
        hypers = training_hypers(targets, num_workers=num_workers, batch_size=2)
        torch.manual_seed(3)
        train(model, Trainer(hypers), [data], [data], dtype=torch.float64)
        for name, parameter in model.named_parameters():
            reference = expected.setdefault(name, parameter)
            torch.testing.assert_close(parameter, reference, rtol=1e-9, atol=1e-9)


ENERGY = energy_info(gradients=("positions", "strain"))
TARGETS = {
    "energy": ENERGY,
    "energy/other": energy_info("energy/other"),
    "mtt::dipole": target_info("mtt::dipole", {"cartesian": {"rank": 1}}, "system"),
    "mtt::partial": target_info("mtt::partial", "scalar", "atom", number=2),
    "mtt::tensor": target_info(
        "mtt::tensor",
        {"spherical": {"irreps": [{"o3_lambda": l, "o3_sigma": 1} for l in (0, 2)]}},
        "atom",
    ),
}
MIXED = [
    single_atom(),
    distant_atoms(),
    molecule(),
    slab(),
    crystal(),
    lone_ion(),
    skewed_crystal(),
]


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("enable", [True, False])
@pytest.mark.parametrize("names", [["energy"], list(TARGETS)], ids=["energy", "all"])
def test_mixed_data(names, enable, batch_size):
    """Every kind of structure and target, alone in a batch and together."""
    targets = {name: TARGETS[name] for name in names}
    dataset = make_dataset(MIXED, targets)
    model = small_model(targets, types_of(dataset), long_range={"enable": enable})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = Trainer(training_hypers(targets, batch_size=batch_size, scale_targets=True))
    train(model, trainer, [dataset], [dataset])
    assert 0 < trainer.best_metric < float("inf")
    for name, parameter in model.named_parameters():
        assert bool(torch.isfinite(parameter).all()), name
    for name in names:  # every readout learned something
        heads = [n for n, _ in model.named_parameters() if f"readouts.{name}." in n]
        assert any(not torch.equal(model.state_dict()[n], before[n]) for n in heads)


def test_data_sets_with_different_targets():
    """A data set without some target leaves the readout of that target alone."""
    first = make_dataset(MIXED[:4], {"energy": ENERGY})
    second = make_dataset(MIXED[4:], {"mtt::dipole": TARGETS["mtt::dipole"]})
    targets = {name: TARGETS[name] for name in ("energy", "mtt::dipole")}
    model = small_model(targets, types_of(first, second))
    trainer = Trainer(training_hypers(targets, batch_size=2, num_epochs=2))
    train(model, trainer, [first, second], [first, second])
    assert 0 < trainer.best_metric < float("inf")


def test_missing_labels():
    """NaN marks labels that do not exist, of a whole batch if need be."""
    dataset = make_dataset(MIXED, {"energy": ENERGY})
    systems = [dataset[i]["system"] for i in range(len(dataset))]
    energies = [dataset[i]["energy"] for i in range(len(dataset))]
    for i in (0, 3, 4):
        energies[i] = mts.multiply(energies[i], float("nan"))
    partial = Dataset.from_dict({"system": systems, "energy": energies})
    targets = {"energy": ENERGY}
    model = small_model(targets, types_of(dataset))
    hypers = training_hypers(targets, batch_size=1)
    with pytest.raises(ValueError, match="'energy' .* missing .* `atomic_baseline`"):
        train(model, Trainer(hypers), [partial], [dataset])

    model = small_model(targets, types_of(dataset))
    trainer = Trainer({**hypers, "atomic_baseline": {"energy": 0.0}})
    train(model, trainer, [partial], [dataset])
    assert 0 < trainer.best_metric < float("inf")
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


@pytest.mark.parametrize("options", [{}, {"max_atoms_per_batch": 40}])
def test_sizes_of_batches(options):
    dataset, targets = dimers(6)
    model = small_model(targets, types_of(dataset))
    trainer = Trainer(training_hypers(targets, batch_size=4, **options))
    train(model, trainer, [dataset], [dataset])
    assert 0 < trainer.best_metric < float("inf")


# --- loss -------------------------------------------------------------------------------

LOSS_OF_LOREM_JAX = """
energy:
  type: mse
  weight: 0.5
  forces:
    type: mse
    weight: 0.5
"""


def test_loss_of_lorem_jax(monkeypatch):
    """Half the mean squared error of the energies per atom, and that of the forces.

    Means are over structures and over force components; a baseline is subtracted.
    """
    structures = [molecule(), crystal(), single_atom()]
    targets = {"energy": energy_info(gradients=("positions",))}
    baseline = {1: -13.6, 8: -2041.3, 11: -4421.0, 17: -12520.1}
    dataset = make_dataset(structures, targets)
    model = small_model(targets, types_of(dataset))
    hypers = training_hypers(
        targets,
        loss=OmegaConf.to_container(OmegaConf.create(LOSS_OF_LOREM_JAX)),
        batch_size=3,
        atomic_baseline={"energy": baseline},
    )
    trainer, losses = Trainer(hypers), []

    def keep(run: Any, loss: torch.Tensor, rate: float) -> float:
        losses.append(loss.item())
        return 0.0

    monkeypatch.setattr(trainer, "_optimize", keep)
    train(model, trainer, [dataset], [dataset], dtype=torch.float64)

    energy_errors, force_errors = [], []
    (request,) = get_requested_neighbor_lists(model)
    for i, structure in enumerate(structures):
        system = get_system_with_neighbor_lists(dataset[i]["system"], [request])
        prediction = evaluate_model(model.eval(), [system], targets, is_training=False)
        predicted, label = (m["energy"].block() for m in (prediction, dataset[i]))
        error = (predicted.values - label.values) / len(structure.species)
        energy_errors.append(error.flatten())
        gradients = [block.gradient("positions").values for block in (predicted, label)]
        force_errors.append((gradients[0] - gradients[1]).flatten())
    expected = 0.5 * torch.cat(energy_errors).square().mean()
    expected += 0.5 * torch.cat(force_errors).square().mean()
    assert losses == pytest.approx([expected.item()], rel=1e-12)


def all_electron_data() -> tuple[list[Dataset], float]:
    """Crystals of MgO, -27321 eV per pair of atoms, with differences of some 0.1 eV."""
    structure, energies = crystal(), []
    structures = []
    for i in range(6):
        generator = torch.Generator().manual_seed(i)
        noise = 0.1 * torch.randn(8, 3, generator=generator).double()
        moved = structure._replace(positions=structure.positions + noise)
        species = torch.where(moved.species == 11, 12, 8)
        structures.append(moved._replace(species=species))
        energies.append(-1.5e6 + 0.2 * i)
    targets = {"energy": energy_info()}
    return [make_dataset(structures, targets, energies)], 0.2 * 2.5


def test_all_electron_energies():
    """Nothing of small differences is lost by training in float32.

    float32 would resolve -1.5e6 eV to 0.125 eV; baseline and scale are in float64.
    """
    datasets, _ = all_electron_data()
    targets = {"energy": energy_info()}
    model = small_model(targets, [8, 12])
    hypers = training_hypers(targets, batch_size=2)
    train(model, Trainer(hypers), datasets, datasets)
    residuals = []
    baseline = model.additive_models[0].model.weights["energy"].block().values.double()
    for i in range(6):
        label = float(datasets[0][i]["energy"].block().values)
        residuals.append(label - 4 * float(baseline.sum()))
    assert residuals == pytest.approx([0.2 * i - 0.5 for i in range(6)], abs=1e-7)
    (transforms,) = [baseline_module.preparation(model, torch.device("cpu"))]
    sample = datasets[0][3]
    systems, labels, _ = [sample["system"]], {"energy": sample["energy"]}, {}
    for transform in transforms:
        systems, labels, _ = transform(systems, labels, {})
    assert float(labels["energy"].block().values) == pytest.approx(0.1, abs=1e-7)


@pytest.mark.skipif(not ALL_ELECTRON.exists(), reason="needs ../shared/data")
def test_all_electron_reference_data():
    """Au2 on MgO, -1.48e6 eV (FHI-aims): errors of a first epoch in meV per atom."""
    frames = read(ALL_ELECTRON, ":6")
    structures = [
        make_structure(
            frame.numbers.tolist(),
            torch.tensor(frame.positions),
            frame.cell.array.tolist(),
            (True, True, True),
        )
        for frame in frames
    ]
    energies = [frame.get_potential_energy() for frame in frames]
    targets = {"energy": energy_info()}
    dataset = make_dataset(structures, targets, energies)
    model = small_model(targets, types_of(dataset))
    trainer = Trainer(training_hypers(targets, batch_size=2, best_model_metric="loss"))
    train(model, trainer, [dataset], [dataset])
    assert trainer.best_metric < 0.1**2


@pytest.mark.skipif(not BORN_CHARGES.exists(), reason="needs ../shared/data")
def test_born_effective_charges():
    """Cartesian tensors of each atom in clusters of water, learned within seconds."""
    target = {"key": "apt", "unit": "e", "sample_kind": "atom", "num_subtargets": 1}
    target["type"] = {"cartesian": {"rank": 2}}
    dataset, targets = read_dataset(BORN_CHARGES, {"mtt::apt": target})
    training, validation = split(Subset(dataset, range(40)), 8)
    losses = []
    for learning_rate in (1e-12, 3e-3):
        model = small_model(targets, types_of(dataset), zero_sum_targets=["mtt::apt"])
        hypers = training_hypers(targets, num_epochs=5, learning_rate=learning_rate)
        trainer = Trainer({**hypers, "best_model_metric": "loss"})
        train(model, trainer, training, validation)
        losses.append(trainer.best_metric)
    assert losses[1] < 0.1 * losses[0]


# --- what can go wrong ------------------------------------------------------------------


def test_divergence_names_epoch_and_batch(monkeypatch):
    dataset, targets = dimers(8)
    model = small_model(targets, types_of(dataset))
    forward, calls = model.forward, []

    def broken(*arguments: Any) -> Any:
        results = forward(*arguments)
        if model.training and torch.is_grad_enabled():
            calls.append(1)
        factor = float("nan") if len(calls) == 6 else 1.0
        return {name: mts.multiply(value, factor) for name, value in results.items()}

    monkeypatch.setattr(model, "forward", broken)
    trainer = Trainer(training_hypers(targets, num_epochs=3, batch_size=2))
    training, _ = split(dataset, 2)
    nothing = [torch.utils.data.Subset(dataset, [])]
    with pytest.raises(RuntimeError, match="diverged in epoch 1, batch 2 .of 3") as error:
        train(model, trainer, training, nothing)
    assert "grad_clip_norm" in str(error.value)
    # No step has been made with it
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_failing_validation_names_the_epoch(monkeypatch):
    dataset, targets = dimers(4, forces=False)
    model = small_model(targets, types_of(dataset))
    forward = model.forward

    def broken(*arguments: Any) -> Any:
        results = forward(*arguments)
        factor = 1.0 if torch.is_grad_enabled() else float("nan")
        return {name: mts.multiply(value, factor) for name, value in results.items()}

    monkeypatch.setattr(model, "forward", broken)
    with pytest.raises(RuntimeError, match="validation failed in epoch 0"):
        train(model, Trainer(training_hypers(targets)), [dataset], [dataset])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimiser": "Adam"}, ["optimiser"]),
        ({"optimizer": "SGD"}, ["optimizer", "'Adam'"]),
        ({"schedule": "cosine"}, ["schedule", "'warmup_cosine'"]),
        ({"batch_size": "many"}, ["batch_size", "many"]),
        ({"grad_clip_value": "no"}, ["grad_clip_value", "no"]),
        ({"best_model_metric": "mae"}, ["best_model_metric", "'mae_prod'"]),
        ({"finetune": {"method": "lora"}}, ["finetune.method", "'full'"]),
        ({"finetune": {"heads": {}}}, ["heads", "finetune"]),
    ],
)
def test_wrong_options(changes, words):
    """Those that metatrain refuses before it reads any data."""
    options = get_default_hypers(ARCHITECTURE, base_precision=32)
    for key, value in changes.items():
        old = options["training"].get(key)
        new = {**old, **value} if isinstance(value, dict) else value
        options["training"][key] = new
    with pytest.raises(MetatrainValidationError) as error:
        check_architecture_options(ARCHITECTURE, options)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"batch_size": 0}, "batch_size", "0"),
        ({"num_epochs": -1}, "num_epochs", "-1"),
        ({"max_atoms_per_batch": 0}, "max_atoms_per_batch", "0"),
        ({"learning_rate": -1e-3}, "learning_rate", "-0.001"),
        ({"learning_rate": float("nan")}, "learning_rate", "nan"),
        ({"learning_rate_final": -1e-6}, "learning_rate_final", "-1e-06"),
        (
            {"schedule": "exponential", "learning_rate_final": 0.0},
            "learning_rate_final",
            "0.0",
        ),
        ({"warmup_fraction": 1.5}, "warmup_fraction", "1.5"),
        ({"weight_decay": -0.1}, "weight_decay", "-0.1"),
        ({"grad_clip_norm": 0.0}, "grad_clip_norm", "0.0"),
        ({"grad_clip_value": -1.0}, "grad_clip_value", "-1.0"),
        ({"log_interval": 0}, "log_interval", "0"),
        ({"checkpoint_interval": 0}, "checkpoint_interval", "0"),
        ({"per_structure_targets": ["enrgy"]}, "per_structure_targets", "enrgy"),
    ],
)
def test_wrong_values(changes, key, value):
    targets = {"energy": energy_info()}
    dataset = make_dataset([molecule()], targets)
    trainer = Trainer(training_hypers(targets, **changes))
    with pytest.raises(ValueError, match="hyper-parameter") as error:
        train(small_model(targets, [1, 8]), trainer, [dataset], [dataset])
    assert f"'{key}'" in str(error.value)
    assert value in str(error.value)


def test_several_gpus_need_several_processes():
    targets = {"energy": energy_info()}
    dataset = make_dataset([molecule()], targets)
    trainer = Trainer(training_hypers(targets, distributed=True))
    with pytest.raises(ValueError, match="multi-gpu"):
        trainer.train(
            model=small_model(targets, [1, 8]),
            dtype=torch.float32,
            devices=[torch.device("cpu")] * 2,
            train_datasets=[dataset],
            val_datasets=[dataset],
            checkpoint_dir="",
        )


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
