"""Systems as MD engines make them, and what they ask of a model."""

from collections.abc import Callable
from typing import NamedTuple, Optional

import torch
from helpers.systems import Structure
from metatensor.torch import Labels, TensorBlock
from metatomic.torch import (
    ModelEvaluationOptions,
    ModelOutput,
    NeighborListOptions,
    System,
)

from metatrain_lorem.coulomb.neighbors import neighbor_list


CUTOFF = 4.0  # of `make_model`
OPTIONS = NeighborListOptions(cutoff=CUTOFF, full_list=True, strict=True)


class Form(NamedTuple):
    """A model as an engine may get it."""

    model: torch.nn.Module
    dtype: torch.dtype
    tolerance: float  # of results, relative to the largest


class Results(NamedTuple):
    """Of a batch: energies ``[S]``, forces ``[N, 3]`` and virials ``[S, 3, 3]``."""

    energies: torch.Tensor
    forces: torch.Tensor
    virials: torch.Tensor


def make_system(
    structure: Structure,
    dtype: torch.dtype,
    strain: torch.Tensor | None = None,
    change_pairs: Callable[[torch.Tensor], torch.Tensor] = lambda pairs: pairs,
    length_unit: float = 1.0,
) -> System:
    """As an engine makes it: positions that require gradients, pairs with vectors.

    :param strain: multiplies positions and lattice vectors
    :param change_pairs: function of rows ``(i, j, shifts)`` that does not change the set
    :param length_unit: in Angstrom
    """
    pairs = neighbor_list(structure.positions, structure.cell, structure.pbc, CUTOFF)
    centers, neighbors, shifts = pairs
    rows = change_pairs(torch.cat([centers[:, None], neighbors[:, None], shifts], dim=1))
    if strain is None:
        strain = torch.eye(3, dtype=dtype)
    leaf = (structure.positions / length_unit).to(dtype).requires_grad_()
    positions = leaf @ strain
    positions.retain_grad()
    cell = (structure.cell / length_unit).to(dtype) @ strain
    system = System(structure.species.int(), positions, cell, structure.pbc)
    with torch.no_grad():
        first, second = rows[:, 0].long(), rows[:, 1].long()
        vectors = positions[second] - positions[first] + rows[:, 2:].to(dtype) @ cell
    names = ["first_atom", "second_atom", "cell_shift_a", "cell_shift_b", "cell_shift_c"]
    block = TensorBlock(
        values=vectors.unsqueeze(2),
        samples=Labels(names, rows),
        components=[Labels("xyz", torch.arange(3).unsqueeze(1))],
        properties=Labels("distance", torch.zeros(1, 1, dtype=torch.int64)),
    )
    system.add_neighbor_list(OPTIONS, block)
    return system


def request(
    sample_kind: str = "system",
    selected: Optional[Labels] = None,
    length_unit: str = "Angstrom",
    unit: str = "eV",
) -> ModelEvaluationOptions:
    outputs = {"energy": ModelOutput(unit=unit, sample_kind=sample_kind)}
    return ModelEvaluationOptions(length_unit, outputs, selected)


def block_of(
    form: Form, structures: list[Structure], options: ModelEvaluationOptions
) -> TensorBlock:
    """Energies of a batch."""
    systems = [make_system(structure, form.dtype) for structure in structures]
    return form.model(systems, options, check_consistency=True)["energy"].block()


def evaluate(form: Form, structures: list[Structure], **changes) -> Results:
    """Energies and their derivatives; ``changes`` are those of :func:`make_system`."""
    strains = [torch.eye(3, dtype=form.dtype, requires_grad=True) for _ in structures]
    systems = [
        make_system(structure, form.dtype, strain, **changes)
        for structure, strain in zip(structures, strains, strict=True)
    ]
    return gradients(form.model, systems, strains)


def gradients(
    model: torch.nn.Module, systems: list[System], strains: list[torch.Tensor]
) -> Results:
    result = model(systems, request(), check_consistency=False)["energy"].block()
    energies = result.values.flatten()
    inputs = [system.positions for system in systems] + strains
    derivatives = torch.autograd.grad(energies.sum(), inputs)
    forces, virials = derivatives[: len(systems)], list(derivatives[len(systems) :])
    virials = torch.stack(virials) if strains else torch.zeros(0, 3, 3)
    return Results(energies.detach(), -torch.cat(forces), -virials)
