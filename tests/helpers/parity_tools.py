"""Our side of the comparison with lorem-jax."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.energy_model import EnergyModel, Results, evaluate
from helpers.parity_cases import CASES, random_parameters, structures
from helpers.systems import Structure, make_graph

from metatrain_lorem.graph import Graph
from metatrain_lorem.hypers import network_arguments
from metatrain_lorem.lorem_jax.parameters import load_jax_parameters
from metatrain_lorem.lorem_jax.settings import hypers_from_settings


REFERENCES = Path(__file__).parent / "lorem_jax"
CHECKPOINT = REFERENCES / "checkpoint"
FILES = ["model.yaml", "baseline.yaml", "model.msgpack"]  # of a checkpoint, in "model"
SLABS = ("slab", "rotated slab")


def load_references(name: str, folder: Path = REFERENCES) -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.npz") as file:
        return dict(file)


def random_jax_parameters(
    case: str, predictions: dict[str, np.ndarray], seed: int = 0
) -> dict[str, np.ndarray]:
    """The parameters that lorem-jax had for the predictions of a case."""
    shapes = json.loads(str(predictions[f"{case}/shapes"]))
    return random_parameters(shapes, seed)


def empty_model(settings: dict[str, Any], accuracy: Any) -> EnergyModel:
    """A model in float64 with the settings of a lorem-jax model."""
    hypers = hypers_from_settings(settings, accuracy)
    return EnergyModel(**network_arguments(hypers, [1]))


def case_model(
    case: str, predictions: dict[str, np.ndarray], accuracy: Any, seed: int = 0
) -> EnergyModel:
    """The model of a case, with the parameters that lorem-jax had."""
    model = empty_model(CASES[case], accuracy)
    parameters = random_jax_parameters(case, predictions, seed)
    load_jax_parameters(model.network, model.readout, parameters)
    return model


def torch_structures() -> dict[str, Structure]:
    """The structures, without lattice vectors along open directions, like metatomic's."""
    return {
        name: Structure(
            torch.tensor(numbers),
            torch.tensor(positions),
            torch.tensor(cell * np.array(pbc)[:, None]),
            torch.tensor(pbc).bool(),
        )
        for name, (numbers, positions, cell, pbc) in structures().items()
    }


def all_structures(cutoff: float) -> Graph:
    return make_graph(list(torch_structures().values()), cutoff)


def deviations(
    results: Results, graph: Graph, references: dict[str, np.ndarray], case: str
) -> dict[str, torch.Tensor]:
    """Absolute differences from the references of a case, one for each system.

    The virials of slabs are compared for strains of their plane: see
    :func:`out_of_plane`.
    """
    energies, forces, virials = (
        torch.tensor(references[f"{case}/{name}"])
        for name in ("energies", "forces", "virials")
    )
    of_atoms = (results.forces - forces).abs().amax(1)
    of_virials = results.virials - virials
    in_plane = of_virials - out_of_plane(of_virials, graph)
    return {
        "energy": (results.energies - energies).abs().detach(),
        "relative energy": ((results.energies - energies) / energies).abs().detach(),
        "force": torch.zeros_like(energies).scatter_reduce(
            0, graph.systems, of_atoms, "amax"
        ),
        "virial": in_plane.abs().amax((1, 2)),
        "slab shear": (of_virials - in_plane).abs().amax((1, 2)),
    }


def out_of_plane(virials: torch.Tensor, graph: Graph) -> torch.Tensor:
    """The part of the virials that belongs to shears which tilt the plane of a slab.

    There, lorem-jax leaves the vacuum vector where it was; ours stays normal to the
    plane, so that energies do not change under rotation. The error of a finite vacuum
    depends on that.
    """
    parts = torch.zeros_like(virials)
    for i, (cell, pbc) in enumerate(zip(graph.cells, graph.pbc, strict=True)):
        if int(pbc.sum()) == 2:
            first, second = cell[pbc]
            normal = torch.linalg.cross(first, second)
            normal = normal / normal.norm()
            in_plane = torch.eye(3, dtype=cell.dtype) - torch.outer(normal, normal)
            parts[i] = in_plane @ virials[i] @ torch.outer(normal, normal)
    return parts


def worst_deviations(
    case: str, references: dict[str, np.ndarray], accuracy: Any, seed: int = 0
) -> tuple[dict[str, torch.Tensor], Graph]:
    """Deviations of a case, for all structures as one batch."""
    model = case_model(case, references, accuracy, seed)
    graph = all_structures(model.network.cutoff)
    return deviations(evaluate(model, graph), graph, references, case), graph


def print_table() -> None:
    """The rows of the table in ``docs/parity.md``."""
    references = load_references("predictions")
    is_slab = torch.tensor([name in SLABS for name in structures()])
    for case in CASES:
        worst, graph = worst_deviations(case, references, "reference")
        ours, _ = worst_deviations(case, references, 1e-6)
        per_atom = ours["energy"] / torch.bincount(graph.systems)
        columns = [
            worst["relative energy"],
            worst["force"],
            worst["virial"],
            per_atom[~is_slab],
            ours["force"][~is_slab],
            per_atom[is_slab],
            ours["force"][is_slab],
        ]
        values = " | ".join(f"{float(column.max()):.0e}" for column in columns)
        print(f"| `{case}` | {values} |")


if __name__ == "__main__":
    print_table()
