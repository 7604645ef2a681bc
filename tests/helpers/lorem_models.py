"""Small LOREM models as metatrain makes them, with baseline and scales."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from helpers.systems import (
    STRUCTURES,
    Structure,
    mixed,
)
from helpers.training_tools import target_info
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelEvaluationOptions,
    ModelOutput,
    System,
)
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import Dataset, DatasetInfo, TargetInfo
from metatrain.utils.data.target_info import (
    get_energy_target_info,
)
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_lorem.model import LOREM
from metatrain_lorem.training.baseline import fit_baseline


ARCHITECTURE = "metatrain_lorem"
TYPES = [1, 8, 9, 11, 17]
# Energies of all electrons, in eV
BASELINE = {1: -13.6, 8: -2041.3, 9: -2713.5, 11: -4421.0, 17: -12520.1}
SCALE = 2.5
ENERGY = get_energy_target_info("energy", {"quantity": "energy", "unit": "eV"})


DIPOLE = target_info("mtt::dipole", {"cartesian": {"rank": 1}}, "system")
MATRIX = target_info("mtt::apt", {"cartesian": {"rank": 2}}, "atom")
PARTIAL = target_info("mtt::partial", "scalar", "atom", number=2)


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


MIXED = mixed()
