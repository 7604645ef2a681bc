"""Derivatives, batches, TorchScript and memory chunks of the Coulomb solver."""

import pytest
import torch
from helpers.coulomb_cases import (
    CELLS,
    CUTOFF,
    Charged,
    assert_same_derivatives,
    crystal,
    graph_of,
    random_system,
    solve_graph,
)

from metatrain_lorem.coulomb import CoulombSolver, coulomb_potentials
from metatrain_lorem.network.reference import jax_solver


PERIODICITIES = [(True, True, True), (True, False, True), (False, False, False)]


def mixed_systems() -> list[Charged]:
    """Unequal systems of all periodicities, with single atoms and duplicates."""
    slab = (True, True, False)
    return [
        random_system("skewed", 12),
        random_system("skewed", 7, pbc=(False, False, False), seed=1),
        random_system("cubic", 1, seed=2),
        random_system("left-handed", 5, pbc=slab, seed=3),
        random_system("cubic", 1, pbc=(False, False, False), seed=4),
        random_system("tiny", 2, seed=5),
        random_system("plate", 20, seed=6),
        random_system("skewed", 12),
        random_system("skewed", 3, pbc=slab[::-1], seed=7),
        random_system("cubic", 9, pbc=(False, False, False), seed=8),
    ]


@pytest.mark.parametrize("make_solver", [CoulombSolver, jax_solver])
def test_batch_equals_single_systems(make_solver):
    systems = mixed_systems()
    solver = make_solver(CUTOFF, CUTOFF / 4)
    for order in (range(10), [3, 9, 0, 5, 8, 1, 2, 7, 6, 4]):
        batch = [systems[i] for i in order]
        charges = torch.cat([system.charges for system in batch])
        potentials = solve_graph(solver, graph_of(batch), charges)
        singles = [solve_graph(solver, graph_of([s]), s.charges) for s in batch]
        torch.testing.assert_close(potentials, torch.cat(singles), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "memory", "num_systems"),
    # Single rows take long: of one system of each kind only
    [(torch.float64, 20_000, 10), (torch.float32, 20_000, 10), (torch.float64, 1, 4)],
)
def test_torchscript_and_chunks(dtype, memory, num_systems):
    systems = mixed_systems()[:num_systems]
    graph = graph_of(systems, dtype)
    charges = torch.cat([system.charges for system in systems])
    solvers = [CoulombSolver(CUTOFF, CUTOFF / 4, memory=m) for m in (2**29, memory)]
    assert_same_derivatives(solvers, graph, charges)


@pytest.mark.parametrize("pbc", PERIODICITIES)
def test_first_and_second_derivatives(pbc):
    system = random_system("skewed", num_atoms=3, num_columns=2, pbc=pbc)
    inputs = [x.clone().requires_grad_(True) for x in system[:3]]

    def solve(positions, charges, cell):
        return coulomb_potentials(
            *(positions, charges, cell, system.pbc), cutoff=CUTOFF, smearing=0.9
        )

    assert torch.autograd.gradcheck(solve, inputs, atol=1e-7, rtol=1e-6)
    # Along random directions: one for each pair of components would take half a minute
    assert torch.autograd.gradgradcheck(solve, inputs, atol=1e-7, rtol=1e-6, fast_mode=True)


@pytest.mark.parametrize("pbc", PERIODICITIES[:2])
@pytest.mark.parametrize("cell", CELLS)
def test_stress_of_charged_systems(cell, pbc):
    """The virial with that of the background; in the plane of a slab."""
    system = random_system(cell, num_atoms=8, num_columns=1, pbc=pbc)
    assert system.charges.sum().abs() > 0.1

    def energy(strain):
        deformation = torch.eye(3, dtype=torch.float64) + strain
        potentials = coulomb_potentials(
            system.positions @ deformation,
            system.charges,
            system.cell @ deformation,
            system.pbc,
            cutoff=CUTOFF,
            smearing=0.6,
            accuracy=1e-11,
        )
        return (system.charges * potentials).sum()

    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    (virial,) = torch.autograd.grad(energy(strain), strain)
    directions = torch.eye(3, dtype=torch.float64)
    if not all(pbc):
        directions = torch.linalg.qr(system.cell[system.pbc].T)[0].T
    inside = directions @ virial @ directions.T
    scale = float(virial.abs().max())
    torch.testing.assert_close(inside, inside.T, rtol=0.0, atol=1e-6 * scale)
    for i in range(len(directions)):
        for j in range(i + 1):
            step = 1e-4 * torch.outer(directions[i], directions[j])
            difference = [
                float(energy(n * step) - energy(-n * step)) / (2e-4 * n) for n in (1, 2)
            ]
            numerical = (4 * difference[0] - difference[1]) / 3
            assert float(inside[i, j]) == pytest.approx(
                numerical, rel=1e-6, abs=1e-6 * scale
            )


def test_step_along_forces():
    """As in OpenMM's tests: a step along the forces lowers the energy by its length."""
    system, _ = crystal("NaCl cubic")
    noise = torch.randn(system.positions.shape, dtype=torch.float64)
    positions = (2.8 * system.positions + 0.1 * noise).requires_grad_(True)

    def energy(x):
        potentials = coulomb_potentials(
            x, system.charges, 2.8 * system.cell, system.pbc, cutoff=CUTOFF
        )
        return (potentials * system.charges).sum()

    (gradient,) = torch.autograd.grad(energy(positions), positions)
    direction = gradient / gradient.norm()
    change = energy(positions + 1e-3 * direction) - energy(positions - 1e-3 * direction)
    change, expected = change.detach(), 2e-3 * gradient.norm()
    torch.testing.assert_close(change, expected, rtol=1e-4, atol=0.0)
    assert gradient.sum(0).abs().max() < 1e-10
