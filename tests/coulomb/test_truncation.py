"""The accuracy of the Coulomb solver is kept, over densities, shapes and charges."""

import pytest
import torch
from helpers.coulomb_cases import (
    CELLS,
    CRYSTALS,
    CUTOFF,
    random_system,
    relative_errors,
    supercell,
)

from metatrain_lorem.coulomb import CoulombSolver, coulomb_potentials
from metatrain_lorem.coulomb.estimate import plan_of_one


def sweep():
    for name in CRYSTALS:
        for repeats, rattle in [(1, 0.3), (2, 0.0), (2, 0.1)]:
            yield supercell(name, repeats, rattle)
    for cell in CELLS:
        for num_atoms in (2, 10):
            system = random_system(cell, num_atoms, 1, seed=num_atoms)
            yield system
            yield system._replace(charges=system.charges - system.charges.mean())
            yield system._replace(charges=torch.ones_like(system.charges))
        yield random_system(cell, 100, 1, seed=100)


def potentials_and_forces(system, **kwargs):
    positions = system.positions.clone().requires_grad_(True)
    potentials = coulomb_potentials(positions, *system[1:], cutoff=CUTOFF, **kwargs)
    energy = (potentials * system.charges).sum()
    return potentials.detach(), torch.autograd.grad(energy, positions)[0]


def test_accuracy_is_kept():
    worst = {1e-3: 0.0, 1e-7: 0.0}
    for system in sweep():
        expected = potentials_and_forces(system, smearing=0.6, accuracy=1e-13)
        for accuracy in worst:
            results = potentials_and_forces(system, accuracy=accuracy)
            errors = relative_errors(system, results, expected)
            assert max(errors) < accuracy
            worst[accuracy] = max(worst[accuracy], *errors)
    # The estimate is not a waste either.
    assert all(error > 0.1 * accuracy for accuracy, error in worst.items())


@pytest.mark.parametrize("smearing", [0.8, 1.25])
def test_accuracy_of_the_reciprocal_sum(smearing):
    for scale in (1.0, 2.5):
        for system in [*sweep()][::5]:
            system = system._replace(
                positions=scale * system.positions, cell=scale * system.cell
            )
            expected, *results = (
                potentials_and_forces(system, smearing=smearing, accuracy=accuracy)
                for accuracy in (1e-13, 1e-4, 1e-6)
            )
            assert max(relative_errors(system, results[0], expected)) < 1e-4
            assert max(relative_errors(system, results[1], expected)) < 1e-6


@pytest.mark.parametrize(("factor", "bound"), [(4, 1.3e-5), (5, 1.2e-7), (6, 4.7e-10)])
def test_step_of_a_pair_at_the_cutoff(factor, bound):
    """The real-space sum neglects ``erfc(r_c / sqrt(2) sigma) / r_c``, halved here."""

    def potential(distance):
        positions = torch.zeros(2, 3, dtype=torch.float64)
        positions[1, 0] = distance
        charges = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
        cell = 30 * torch.eye(3, dtype=torch.float64)
        periodic = torch.tensor([True] * 3)
        return coulomb_potentials(
            *(positions, charges, cell, periodic),
            cutoff=CUTOFF,
            smearing=CUTOFF / factor,
        )[0, 0]

    step = potential(CUTOFF + 1e-9) - potential(CUTOFF - 1e-9)
    assert 0.25 * bound < float(step.abs()) < 0.51 * bound


def energy_forces_virial(system, deformation, **kwargs):
    """Of a strained system, per atom, for charges of one electron and lengths in A: eV."""
    strain = deformation.clone().requires_grad_()
    positions = (system.positions @ deformation).requires_grad_()
    shift = torch.linalg.solve(deformation, strain)  # the identity
    potentials = coulomb_potentials(
        *(positions @ shift, system.charges, system.cell @ strain, system.pbc),
        cutoff=CUTOFF,
        **kwargs,
    )
    energy = 14.4 * (potentials * system.charges).sum()
    gradients = torch.autograd.grad(energy, (positions, strain))
    return torch.cat([energy[None], *(g.flatten() for g in gradients)]).detach()


IDENTITY = torch.eye(3, dtype=torch.float64)
SHEAR = torch.tensor([[0.0, 1, 0], [0, 0, 0.4], [0, 0, 0]], dtype=torch.float64)


def deformations(kind):
    scale = torch.linspace(0.42, 0.72, 121, dtype=torch.float64)
    if kind == "volume":
        return [(0.96 + 0.08 * s) ** (1 / 3) * IDENTITY for s in scale]
    return [IDENTITY + 0.1 * s * SHEAR for s in scale]


def crystal(method):
    """Rattled rock salt; for a mesh, just below the size where it needs more points."""
    if method == "ewald":
        return supercell("NaCl cubic", 2, 0.1)
    system = supercell("NaCl cubic", 3, 0.1)
    return system._replace(positions=1.048 * system.positions, cell=1.048 * system.cell)


@pytest.mark.parametrize("method", ["ewald", "mesh"])
@pytest.mark.parametrize("kind", ["volume", "shear"])
def test_no_steps_as_the_cell_changes(kind, method):
    """K-vectors come and go, meshes grow, pairs cross the cutoff: nothing is to be seen.

    A step of a quantity makes a fourth difference of three times its size. Forces in eV/A.
    """
    system = crystal(method)
    deformed = deformations(kind)[:: 8 if method == "mesh" else 1]
    results = [energy_forces_virial(system, d, method=method) for d in deformed]
    differences = torch.stack(results).diff(n=4, dim=0).abs().amax(0) / 3
    num_atoms = len(system.positions)
    assert float(differences[0]) / num_atoms < 1e-9
    assert float(differences[1:-9].max()) < (3e-7 if method == "mesh" else 1e-10)
    assert float(differences[-9:].max()) / num_atoms < (1e-8 if method == "mesh" else 1e-10)


@pytest.mark.parametrize("kind", ["volume", "shear"])
def test_cell_changes_meet_what_may_step(kind):
    """K-vectors and points of the mesh in the scans above; Gaussian charges do step."""
    for method in ("ewald", "mesh"):
        system, solver = crystal(method), CoulombSolver(CUTOFF, method=method)
        sizes = set()
        for deformation in deformations(kind)[::20]:
            positions, cell = system.positions @ deformation, system.cell @ deformation
            plan = plan_of_one(solver, positions, cell, system.pbc, 1)
            if method == "mesh":
                sizes.add(tuple(plan.mesh[0].shape))
            else:
                kvectors = plan.ewald[0].kvectors
                sizes.add(int((kvectors.last - kvectors.first + 1).clamp(min=0).sum()))
        assert len(sizes) > 1
    system = crystal("ewald")
    results = [
        energy_forces_virial(system, deformation, smearing=CUTOFF / 4)[0]
        for deformation in deformations(kind)[::2]
    ]
    steps = torch.stack(results).diff(n=4).abs().max() / len(system.positions)
    assert float(steps) > 1e-6
