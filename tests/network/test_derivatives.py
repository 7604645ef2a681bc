"""Forces, stress, and the gradients that training on them takes."""

import itertools

import pytest
import torch
from helpers.energy_model import (
    CUTOFF,
    EnergyModel,
    loss_of,
    results_of,
    trained_parameters,
)
from helpers.systems import (
    STRUCTURES,
    Structure,
    make_graph,
    make_structure,
    mixed,
    molecule,
    skewed_crystal,
    transformed,
)

from metatrain_lorem.coulomb import CoulombSolver


DIFFERENTIABLE = ["skewed_crystal", "charged_crystal", "crystal", "slab", "molecule"]
STEP = 1e-4


def central_difference(model: EnergyModel, structures: list[Structure]) -> torch.Tensor:
    """Fourth order, from energies at -2, -1, 1 and 2 steps of each coordinate."""
    graph = make_graph(structures, CUTOFF)
    counts = torch.bincount(graph.systems[graph.centers], minlength=len(structures))
    assert len(counts.unique()) == 1, "a pair crosses the cutoff"
    energies = model(graph).detach().reshape(-1, 4)
    return energies @ torch.tensor([1.0, -8.0, 8.0, -1.0]).double() / (12 * STEP)


def displaced(structure: Structure) -> list[Structure]:
    """All displacements of single coordinates, four of each."""
    moved = []
    for i, axis, step in itertools.product(
        range(len(structure.species)), range(3), (-2, -1, 1, 2)
    ):
        positions = structure.positions.clone()
        positions[i, axis] += step * STEP
        moved.append(structure._replace(positions=positions))
    return moved


def strained(structure: Structure) -> list[Structure]:
    """All nine strains, also those that rotate, four of each."""
    results = []
    for first, second, step in itertools.product(range(3), range(3), (-2, -1, 1, 2)):
        strain = torch.eye(3, dtype=torch.float64)
        strain[first, second] += step * STEP
        results.append(transformed(structure, strain.T))
    return results


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_forces(model, name):
    structure = STRUCTURES[name]()
    forces = results_of(model, structure).forces
    differences = -central_difference(model, displaced(structure)).reshape(-1, 3)
    tolerance = 1e-6 * float(forces.abs().max())
    torch.testing.assert_close(differences, forces, rtol=0, atol=tolerance)


@pytest.mark.parametrize("num_message_passing", [0, 1])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_stress(name, num_message_passing):
    """With an accuracy at which k-vectors that enter the sum make no visible step."""
    solver = CoulombSolver(CUTOFF, CUTOFF / 4, accuracy=1e-12)
    model = EnergyModel(num_message_passing=num_message_passing, solver=solver)
    structure = STRUCTURES[name]()
    virial = results_of(model, structure).virials[0]
    differences = central_difference(model, strained(structure)).reshape(3, 3)
    tolerance = 1e-6 * float(virial.abs().max())
    torch.testing.assert_close(differences, virial, rtol=0, atol=tolerance)


def test_smooth_at_the_cutoff():
    """Without long range, two atoms part without a step in energy or force."""
    model = EnergyModel(long_range=False)

    def pair(distance: float) -> Structure:
        return make_structure([8, 17], [[0.0, 0.0, 0.0], [0.0, 0.6, 0.8]])._replace(
            positions=distance * torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.6, 0.8]]).double()
        )

    near, before, after = [
        results_of(model, pair(factor * CUTOFF)) for factor in (0.7, 1 - 1e-5, 1 + 1e-5)
    ]
    assert not bool(after.forces.any())
    assert float((near.energies - after.energies).abs()) > 1e-3
    assert float((before.energies - after.energies).abs()) < 1e-8
    assert float(before.forces.abs().max()) < 1e-3 * float(near.forces.abs().max())


@pytest.mark.parametrize("name", STRUCTURES)
def test_training_on_forces(model, name):
    """Gradients of a loss of energies, forces and stress are finite for every kind of
    system, alone in its batch.
    """
    loss = loss_of(model, [STRUCTURES[name]()])
    gradients = torch.autograd.grad(
        loss, trained_parameters(model), allow_unused=True, materialize_grads=True
    )
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)


def test_gradient_of_force_loss(model):
    """Along a random direction of all parameters, against a finite difference."""
    structures = [skewed_crystal(), *mixed()[1:]]
    parameters = trained_parameters(model)
    gradients = torch.autograd.grad(
        loss_of(model, structures),
        parameters,
        allow_unused=True,
        materialize_grads=True,
    )
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(p.shape, generator=generator).double() for p in parameters]
    expected = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    step, losses = 1e-6, []
    start = [parameter.detach().clone() for parameter in parameters]
    try:
        for factor in (-2, -1, 1, 2):
            for parameter, value, direction in zip(
                parameters, start, directions, strict=True
            ):
                parameter.data = value + factor * step * direction
            losses.append(float(loss_of(model, structures).detach()))
    finally:
        for parameter, value in zip(parameters, start, strict=True):
            parameter.data = value
    difference = (losses[0] - 8 * losses[1] + 8 * losses[2] - losses[3]) / (12 * step)
    assert difference == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["skewed_crystal", "slab", "molecule"])
def test_second_derivatives(model, name):
    """By positions and cell."""
    graph = make_graph([STRUCTURES[name]()], CUTOFF)

    def energies(positions, cells):
        return model(graph._replace(positions=positions, cells=cells))

    inputs = (
        graph.positions.clone().requires_grad_(),
        graph.cells.clone().requires_grad_(bool(graph.pbc.all())),
    )
    assert torch.autograd.gradgradcheck(energies, inputs, fast_mode=True, atol=1e-4)


def largest_change(model: EnergyModel, num_steps: int) -> float:
    """Of the forces in a step of an atom on its way."""
    structure, frames = molecule(), []
    for step in range(num_steps + 1):
        positions = structure.positions.clone()
        positions[0, 0] += 0.4 * step / num_steps
        frames.append(structure._replace(positions=positions))
    forces = results_of(model, *frames).forces.reshape(num_steps + 1, -1)
    return float(forces.diff(dim=0).abs().max())


@pytest.mark.parametrize("num_message_passing", [0, 1])
@pytest.mark.parametrize("smooth", [False, True])
def test_forces_jump_unless_norms_are_smooth(smooth, num_message_passing):
    """The change in half of a step is half of the change, except for a jump."""
    norms = "signed" if smooth else "paper"
    options = {"norms": norms, "num_message_passing": num_message_passing}
    model = EnergyModel(**options)
    ratio = largest_change(model, 400) / largest_change(model, 200)
    if smooth:
        assert ratio == pytest.approx(0.5, abs=0.05)
    else:
        assert ratio > 0.9
