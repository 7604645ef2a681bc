"""The mesh agrees with Ewald sums to the stated accuracy, in cells of any shape."""

import pytest
import torch
from helpers.coulomb_cases import (
    CELLS,
    CUTOFF,
    Charged,
    random_system,
    relative_errors,
    rotation,
    supercell,
)

from metatrain_lorem.coulomb import CoulombSolver, coulomb_potentials
from metatrain_lorem.coulomb.mesh import MeshSum
from metatrain_lorem.coulomb.mesh_size import mesh_shape
from metatrain_lorem.coulomb.splitting import GaussianSplit


def potentials_forces_stress(system: Charged, **kwargs):
    """Potentials ``[N, C]``, forces on the first column, and its virial."""
    positions = system.positions.clone().requires_grad_(True)
    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    deformation = torch.eye(3, dtype=torch.float64) + strain
    potentials = coulomb_potentials(
        positions @ deformation,
        system.charges,
        system.cell @ deformation,
        system.pbc,
        cutoff=CUTOFF,
        smearing=1.25,
        **kwargs,
    )
    energy = (potentials * system.charges)[:, 0].sum()
    return potentials.detach(), *torch.autograd.grad(energy, (positions, strain))


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True)])
@pytest.mark.parametrize("cell", CELLS)
def test_agrees_with_ewald(cell, pbc):
    # The vacuum of a slab needs a large mesh.
    for accuracy in (1e-3, 1e-5, 1e-7) if all(pbc) else (1e-3, 1e-5):
        system = random_system(cell, 20 if cell == "tiny" else 60, 3, pbc)
        matrix = rotation(3)
        rotated = system._replace(
            positions=system.positions @ matrix.T, cell=system.cell @ matrix.T
        )
        # Rotations need not be tried at each accuracy.
        for turned in (system, rotated) if accuracy == 1e-5 else (system,):
            expected = potentials_forces_stress(turned, accuracy=1e-9, method="ewald")
            results = potentials_forces_stress(turned, accuracy=accuracy, method="mesh")
            first = turned._replace(charges=turned.charges[:, :1])
            potentials = results[0][:, :1], expected[0][:, :1]
            errors = relative_errors(
                first, (potentials[0], results[1]), (potentials[1], expected[1])
            )
            assert max(errors) < accuracy
            torch.testing.assert_close(
                results[0], expected[0], rtol=0.0, atol=accuracy * float(expected[0].max())
            )
            # Errors of the virial are those of forces times positions.
            unit = expected[1].norm() * turned.cell.norm()
            assert float((results[2] - expected[2]).norm() / unit) < accuracy


def test_derivatives():
    system = random_system("skewed", num_atoms=3, num_columns=2)
    mesh = torch.jit.script(MeshSum(GaussianSplit(4.0, 1.2, 1e-6)))
    shape = mesh_shape(system.cell, 3, smearing=1.2, accuracy=1e-3, error=5e-3)
    inputs = [x.clone().requires_grad_(True) for x in system[:3]] + [shape]
    # The last bits of a Fourier transform depend on where its array lies in memory.
    tolerances = {"atol": 1e-6, "rtol": 1e-5, "nondet_tol": 1e-12}
    assert torch.autograd.gradcheck(mesh, inputs, **tolerances)
    assert torch.autograd.gradgradcheck(mesh, inputs, **tolerances)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torchscript_and_chunks(dtype):
    system = random_system("skewed", num_atoms=40, num_columns=3)
    positions, charges, cell = (x.to(dtype) for x in system[:3])
    shape = mesh_shape(system.cell, 40, smearing=1.2, accuracy=1e-4, error=5e-3)
    results = []
    for memory in (2**29, 1):
        eager = MeshSum(GaussianSplit(4.0, 1.2, 1e-6), memory)
        for mesh in (eager, torch.jit.script(eager)):
            x = positions.clone().requires_grad_(True)
            potentials = mesh(x, charges, cell, shape)
            gradient = torch.autograd.grad((potentials * charges).sum(), x)[0]
            results.append((potentials.detach(), gradient))
    exact = 1e-12 if dtype == torch.float64 else 1e-4
    for result in results[1:]:
        for values, expected in zip(result, results[0]):
            torch.testing.assert_close(values, expected, rtol=exact, atol=exact)


def test_scan_of_volumes_is_smooth():
    """Sizes of the mesh change along the scan; energies follow those of Ewald sums."""
    system = supercell("NaCl cubic", 3, 0.1)
    differences = []
    for scale in torch.linspace(0.98, 1.02, 41, dtype=torch.float64) ** (1 / 3):
        scaled = system._replace(
            positions=scale * system.positions, cell=scale * system.cell
        )
        energies = [
            (
                system.charges
                * coulomb_potentials(
                    *scaled, cutoff=CUTOFF, smearing=1.25, accuracy=accuracy, method=method
                )
            ).sum()
            for method, accuracy in [("mesh", 1e-6), ("ewald", 1e-9)]
        ]
        differences.append(energies[0] / energies[1] - 1)
    assert float(torch.stack(differences).abs().max()) < 1e-7


def test_method_is_chosen_by_size():
    solver = CoulombSolver(5.0, 1.25)

    def is_on_mesh(num_atoms, num_columns):
        edge = (num_atoms / 0.1) ** (1 / 3)
        plan = solver.plan(
            edge * torch.rand(num_atoms, 3, dtype=torch.float64),
            edge * torch.eye(3, dtype=torch.float64)[None],
            torch.tensor([[True] * 3]),
            torch.zeros(num_atoms, dtype=torch.int64),
            num_columns,
        )
        assert len(plan.ewald) + len(plan.mesh) == 1
        return len(plan.mesh) == 1

    assert not is_on_mesh(1_000, 1)
    assert not is_on_mesh(1_000, 10)
    # The more columns, the later a mesh pays.
    assert is_on_mesh(2_000, 1)
    assert not is_on_mesh(2_000, 10)
    assert is_on_mesh(30_000, 1)
    assert is_on_mesh(30_000, 10)


@pytest.mark.slow
def test_many_atoms():
    """21 952 ions: the energy per atom is that of the small crystal."""
    unit = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]).double()
    unit = 2.8 * torch.cat([unit, unit + torch.tensor([1.0, 0.0, 0.0])])
    shifts = 5.6 * torch.cartesian_prod(*[torch.arange(14.0)] * 3).double()
    positions = (unit + shifts.unsqueeze(1)).reshape(-1, 3)
    charges = torch.cat([torch.ones(4), -torch.ones(4)]).double().repeat(14**3)
    potentials = coulomb_potentials(
        positions,
        charges.unsqueeze(1),
        14 * 5.6 * torch.eye(3, dtype=torch.float64),
        torch.tensor([True] * 3),
        cutoff=CUTOFF,
        smearing=1.25,
        accuracy=1e-4,
    )
    expected = torch.full_like(charges, -1.7475645946332 / (2 * 2.8))
    torch.testing.assert_close(potentials[:, 0] * charges, expected, rtol=3e-4, atol=0.0)
