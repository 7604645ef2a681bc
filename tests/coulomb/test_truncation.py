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

from metatrain_lorem.coulomb import coulomb_potentials


def sweep():
    for name in CRYSTALS:
        for repeats, rattle in [(1, 0.3), (2, 0.0), (2, 0.1)]:
            yield supercell(name, repeats, rattle)
    for cell in CELLS:
        for num_atoms in (2, 10, 100):
            system = random_system(cell, num_atoms, 1, seed=num_atoms)
            yield system
            yield system._replace(charges=system.charges - system.charges.mean())
            yield system._replace(charges=torch.ones_like(system.charges))


def potentials_and_forces(system, **kwargs):
    positions = system.positions.clone().requires_grad_(True)
    potentials = coulomb_potentials(positions, *system[1:], cutoff=CUTOFF, **kwargs)
    energy = (potentials * system.charges).sum()
    return potentials.detach(), torch.autograd.grad(energy, positions)[0]


@pytest.mark.parametrize("accuracy", [1e-3, 1e-7])
def test_accuracy_is_kept(accuracy):
    worst = 0.0
    for system in sweep():
        expected = potentials_and_forces(system, smearing=0.6, accuracy=1e-13)
        results = potentials_and_forces(system, accuracy=accuracy)
        errors = relative_errors(system, results, expected)
        assert max(errors) < accuracy
        worst = max(worst, *errors)
    # The estimate is not a waste either.
    assert worst > 0.1 * accuracy


@pytest.mark.parametrize("smearing", [0.8, 1.25])
@pytest.mark.parametrize("accuracy", [1e-4, 1e-6])
def test_accuracy_of_the_reciprocal_sum(smearing, accuracy):
    for scale in (1.0, 2.5):
        for system in [*sweep()][::5]:
            system = system._replace(
                positions=scale * system.positions, cell=scale * system.cell
            )
            expected, results = (
                potentials_and_forces(system, smearing=smearing, accuracy=a)
                for a in (1e-13, accuracy)
            )
            assert max(relative_errors(system, results, expected)) < accuracy


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


def test_scan_of_volumes_is_smooth():
    """K-vectors that enter or leave the sphere make no step above the accuracy."""
    system = supercell("NaCl cubic", 2, 0.1)
    energies, units = [], []
    for scale in torch.linspace(0.98, 1.02, 81, dtype=torch.float64) ** (1 / 3):
        scaled = system._replace(
            positions=scale * system.positions, cell=scale * system.cell
        )
        # A smearing at which pairs that cross the cutoff do not matter
        results = coulomb_potentials(*scaled, cutoff=CUTOFF, smearing=0.6)
        energies.append((results * system.charges).sum() / len(system.positions))
        units.append(1 / (2 * 2.6 * scale))
    kinks = torch.stack(energies).diff(n=4).abs().max()
    assert float(kinks) < 16 * 1e-6 * float(units[0])
