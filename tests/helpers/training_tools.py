"""Small data sets, models and runs for the tests of the training."""

import copy
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from helpers.systems import Structure
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import System
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import Dataset, DatasetInfo, TargetInfo, get_dataset
from metatrain.utils.data.target_info import (
    get_energy_target_info,
    get_generic_target_info,
)
from metatrain.utils.omegaconf import expand_dataset_config, expand_loss_config
from omegaconf import OmegaConf
from torch.utils.data import Subset

from metatrain_lorem.model import LOREM
from metatrain_lorem.trainer import Trainer


ARCHITECTURE = "metatrain_lorem"
with_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch < 2.9")
DATA = Path(__file__).parents[1] / "data"
DIMERS = Path(__file__).parents[2] / "examples" / "data" / "dimers_val.xyz"


# --- targets ----------------------------------------------------------------------------


def energy_info(name: str = "energy", gradients: tuple[str, ...] = ()) -> TargetInfo:
    return get_energy_target_info(
        name,
        {"quantity": "energy", "unit": "eV"},
        add_position_gradients="positions" in gradients,
        add_strain_gradients="strain" in gradients,
    )


def target_info(
    name: str, kind: Any, sample_kind: str, number: int = 1, unit: str = ""
) -> TargetInfo:
    options = {
        "quantity": "",
        "unit": unit,
        "type": kind,
        "sample_kind": sample_kind,
        "num_subtargets": number,
    }
    return get_generic_target_info(name, options)


# --- data -------------------------------------------------------------------------------


def read_dataset(
    path: Path, targets: dict[str, Any]
) -> tuple[Dataset, dict[str, TargetInfo]]:
    """As ``mtt train`` reads a file."""
    systems = {"read_from": str(path), "length_unit": "Angstrom"}
    options = OmegaConf.create({"systems": systems, "targets": targets})
    (conf,) = expand_dataset_config(options)
    dataset, infos, _ = get_dataset(conf)
    return dataset, infos


def dimers(
    num_structures: int = 12, name: str = "energy", forces: bool = True
) -> tuple[Subset, dict[str, TargetInfo]]:
    """Every so many of the dimers in the examples, with energies (and forces) in eV."""
    target = {"quantity": "energy", "key": "relative_energy", "unit": "eV"}
    target["forces"] = {"key": "forces"} if forces else False
    dataset, infos = read_dataset(DIMERS, {name: target})
    step = len(dataset) // num_structures
    return Subset(dataset, range(0, step * num_structures, step)), infos


def split(dataset: Subset, num_validation: int) -> tuple[list[Subset], list[Subset]]:
    """Training and validation sets; the latter holds the last structures."""
    middle = len(dataset) - num_validation
    training = Subset(dataset, range(middle))
    return [training], [Subset(dataset, range(middle, len(dataset)))]


def make_dataset(
    structures: list[Structure],
    targets: Mapping[str, TargetInfo],
    energies: list[float] | None = None,
) -> Dataset:
    """Structures with random labels, except for given ``energies``."""
    systems = [
        System(s.species.to(torch.int32), s.positions, s.cell, s.pbc) for s in structures
    ]
    columns: dict[str, list[TensorMap]] = {name: [] for name in targets}
    for i, system in enumerate(systems):
        for name, info in targets.items():
            value = energies[i] if energies is not None and name == "energy" else None
            columns[name].append(_labels(info, len(system), i, value))
    return Dataset.from_dict({"system": systems, **columns})


def _labels(info: TargetInfo, num_atoms: int, index: int, value: float | None) -> TensorMap:
    generator = torch.Generator().manual_seed(index)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    atoms = torch.stack([torch.full((num_atoms,), index), torch.arange(num_atoms)], 1)
    blocks = []
    for template in info.layout.blocks():
        samples = atoms if info.sample_kind == "atom" else torch.tensor([[index]])
        values = random(len(samples), *template.values.shape[1:])
        if value is not None:
            values[:] = value
        block = TensorBlock(
            values=values,
            samples=Labels(template.samples.names, samples.to(torch.int32)),
            components=template.components,
            properties=template.properties,
        )
        for name, gradient in template.gradients():
            rows = atoms * torch.tensor([0, 1])  # (sample, atom)
            if name == "strain":
                rows = rows[:1, :1]
            block.add_gradient(
                name,
                TensorBlock(
                    values=random(len(rows), *gradient.values.shape[1:]),
                    samples=Labels(gradient.samples.names, rows.to(torch.int32)),
                    components=gradient.components,
                    properties=gradient.properties,
                ),
            )
        blocks.append(block)
    return TensorMap(info.layout.keys, blocks)


def types_of(*datasets: Dataset | Subset) -> list[int]:
    samples = (dataset[i] for dataset in datasets for i in range(len(dataset)))
    return sorted({z for sample in samples for z in sample["system"].types.tolist()})


# --- models and runs --------------------------------------------------------------------


def small_model(
    targets: Mapping[str, TargetInfo], types: list[int], seed: int = 0, **changes: Any
) -> LOREM:
    hypers = copy.deepcopy(get_default_hypers(ARCHITECTURE)["model"])
    hypers.update(
        cutoff=4.0,
        max_degree=2,
        num_features=8,
        num_spherical_features=2,
        num_radial=4,
        num_species_features=2,
    )
    hypers["long_range"].update(changes.pop("long_range", {"max_degree": 1}))
    hypers.update(changes)
    info = DatasetInfo("Angstrom", types, dict(targets))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LOREM(hypers, info)


def training_hypers(targets: Mapping[str, TargetInfo], **changes: Any) -> dict[str, Any]:
    """The defaults, for one epoch and without checkpoints, and with some ``changes``."""
    hypers = copy.deepcopy(get_default_hypers(ARCHITECTURE)["training"])
    hypers.update(num_epochs=1, checkpoint_interval=10**6)
    hypers.update(changes)
    hypers["loss"] = expanded_loss(hypers["loss"], targets)
    return hypers


def expanded_loss(loss: Any, targets: Mapping[str, TargetInfo]) -> dict[str, Any]:
    """The loss as metatrain hands it to the trainer."""
    gradients = {"positions": "forces", "strain": "virial"}
    section = {
        name: {
            "quantity": info.quantity,
            **{gradients[key]: {} for key in info.gradients},
        }
        for name, info in targets.items()
    }
    options = {
        "training_set": [{"targets": section}],
        "architecture": {"training": {"loss": loss}},
    }
    expanded = expand_loss_config(OmegaConf.create(options))
    return OmegaConf.to_container(expanded["architecture"]["training"]["loss"])


def train(
    model: LOREM,
    trainer: Trainer,
    training: list[Dataset | Subset],
    validation: list[Dataset | Subset],
    folder: Path | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Train; checkpoints are kept if a folder is given."""
    with TemporaryDirectory() as scratch:
        trainer.train(
            model=model,
            dtype=dtype,
            devices=[torch.device("cpu")],
            train_datasets=training,
            val_datasets=validation,
            checkpoint_dir=str(folder or scratch),
        )


def assert_same_state(first: torch.nn.Module, second: torch.nn.Module) -> None:
    """Bit for bit."""
    one, other = first.state_dict(), second.state_dict()
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def write_options(folder: Path, data: str, training: str) -> Path:
    """``options.yaml`` of a small model of the dimers, for metatrain's command line.

    :param data: file of the structures
    :param training: hyper-parameters of the training, as YAML in one line
    """
    path = folder / "options.yaml"
    path.write_text(f"""
seed: 3
architecture:
  name: {ARCHITECTURE}
  model: {{max_degree: 1, num_features: 4, num_radial: 2, long_range: {{max_degree: 0}}}}
  training: {training}
training_set:
  systems: {{read_from: {data}, length_unit: Angstrom}}
  targets: {{energy: {{key: relative_energy, unit: eV, forces: {{key: forces}}}}}}
validation_set: 0.2
""")
    return path
