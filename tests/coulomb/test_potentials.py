"""Values of the Coulomb solver: literature, torch-pme, symmetries, refusals."""

import math

import pytest
import torch
import torchpme
from helpers.coulomb_cases import CELLS, CRYSTALS, Charged, crystal, random_system, rotation

from metatrain_lorem.coulomb import coulomb_potentials
from metatrain_lorem.coulomb.neighbors import neighbor_list


SLABS = [(True, True, False), (True, False, True), (False, True, True)]
PERIODICITIES = [(True, True, True), *SLABS, (False, False, False)]


def solve(system: Charged, cutoff: float = 5.0, **kwargs) -> torch.Tensor:
    return coulomb_potentials(*system, cutoff=cutoff, **kwargs)


@pytest.mark.parametrize("scale", [0.49, 1.0, 5.0])
@pytest.mark.parametrize("name", CRYSTALS)
def test_madelung_constants(name, scale):
    system, energy = crystal(name)
    for dtype, accuracy, tolerance in [
        (torch.float64, 1e-9, 1e-7),
        (torch.float32, 1e-6, 1e-5),
    ]:
        positions, cell = scale * system.positions.to(dtype), scale * system.cell.to(dtype)
        charges = system.charges.to(dtype)
        potentials = coulomb_potentials(
            positions, charges, cell, system.pbc, cutoff=2.5 * scale, accuracy=accuracy
        )
        assert potentials.dtype == dtype
        torch.testing.assert_close(
            scale * float((charges * potentials).sum()), energy, rtol=tolerance, atol=0.0
        )


@pytest.mark.parametrize("neutral", [True, False])
@pytest.mark.parametrize("cell", ["cubic", "skewed", "left-handed", "tiny", "needle"])
def test_equals_torchpme(cell, neutral):
    system = random_system(cell, neutral=neutral)
    cutoff, smearing = 5.0, 0.8
    centers, neighbors, shifts = neighbor_list(*system[::2], system.pbc, cutoff)
    vectors = system.positions[neighbors] - system.positions[centers]
    vectors = vectors + shifts.double() @ system.cell
    reference = torchpme.EwaldCalculator(
        torchpme.CoulombPotential(smearing=smearing).to(torch.float64),
        lr_wavelength=math.pi * smearing / 8.5,  # its k-vectors end at pi / lr_wavelength
        full_neighbor_list=True,
    ).to(torch.float64)
    expected = reference(
        system.charges,
        system.cell,
        system.positions,
        torch.stack([centers, neighbors], dim=1),
        torch.linalg.vector_norm(vectors, dim=1),
    )
    potentials = solve(system, cutoff, smearing=smearing, accuracy=1e-13)
    torch.testing.assert_close(potentials, expected, rtol=1e-10, atol=1e-10)


def test_background_of_charged_cells():
    ion = Charged(
        torch.zeros(1, 3, dtype=torch.float64),
        torch.ones(1, 1, dtype=torch.float64),
        7.3 * torch.eye(3, dtype=torch.float64),
        torch.tensor([True] * 3),
    )
    energy = float(solve(ion, accuracy=1e-11))
    assert energy == pytest.approx(-2.837297479480619 / (2 * 7.3), rel=1e-10)

    system = random_system("skewed")
    assert system.charges.sum(0).abs().min() > 0.1
    results = [solve(system, 6.0, smearing=s, accuracy=1e-11) for s in (0.7, 0.8, 0.9)]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pbc", PERIODICITIES)
@pytest.mark.parametrize("cell", CELLS)
def test_isometries_and_permutations(cell, pbc):
    system = random_system(cell, pbc=pbc)
    expected = solve(system)
    for mirror in (False, True):
        matrix = rotation(1, mirror)
        moved = system._replace(
            positions=system.positions @ matrix.T + 100.0, cell=system.cell @ matrix.T
        )
        torch.testing.assert_close(solve(moved), expected, rtol=1e-10, atol=1e-10)
    order = torch.randperm(len(expected))
    shuffled = system._replace(
        positions=system.positions[order], charges=system.charges[order]
    )
    torch.testing.assert_close(solve(shuffled), expected[order], rtol=1e-10, atol=1e-10)
    axes = torch.tensor([2, 0, 1])
    turned = system._replace(cell=system.cell[axes], pbc=system.pbc[axes])
    torch.testing.assert_close(solve(turned), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pbc", PERIODICITIES[:4])
def test_choice_of_cell(pbc):
    system = random_system("skewed", num_atoms=6, pbc=pbc)
    expected = solve(system)
    periodic = [axis for axis in range(3) if pbc[axis]]
    # Single atoms in other cells
    shifts = torch.randint(-3, 4, (len(expected), 3)).double() * system.pbc
    shifted = system._replace(positions=system.positions + shifts @ system.cell)
    torch.testing.assert_close(solve(shifted), expected, rtol=1e-10, atol=1e-10)
    # Other vectors of the same lattice, of either handedness
    sheared = system.cell.clone()
    sheared[periodic[0]] += 2 * sheared[periodic[1]]
    sheared[periodic[1]] *= -1
    other = solve(system._replace(cell=sheared))
    # The vacuum of a slab follows from the lattice vectors
    tolerance = 1e-10 if all(pbc) else 1e-7
    torch.testing.assert_close(other, expected, rtol=tolerance, atol=tolerance)
    # Supercell
    copies = system.cell[periodic[1]]
    longer = system.cell.clone()
    longer[periodic[1]] *= 2
    double = Charged(
        torch.cat([system.positions, system.positions + copies]),
        torch.cat([system.charges, system.charges]),
        longer,
        system.pbc,
    )
    torch.testing.assert_close(solve(double)[:6], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("neutral", [True, False])
@pytest.mark.parametrize("pbc", SLABS)
def test_slabs_equal_wide_clusters(pbc, neutral):
    # Up to the field of what is missing beyond a radius of 240
    system = random_system("cubic", num_atoms=4, num_columns=1, pbc=pbc, neutral=True)
    if not neutral:
        system = system._replace(charges=system.charges + 0.1)
    reach = 40
    offsets = torch.arange(-reach, reach + 1).double()
    patch = torch.cartesian_prod(offsets, offsets) @ system.cell[system.pbc]
    distances = torch.linalg.vector_norm(patch, dim=1)
    patch = patch[distances < 6.0 * reach]
    vectors = (
        system.positions.unsqueeze(1) + patch - system.positions[:, None, None]
    )  # [N, N, cells, 3]
    inverse = 1 / torch.linalg.vector_norm(vectors, dim=3)
    inverse = torch.where(torch.isinf(inverse), 0.0, inverse).sum(2)
    expected = 0.5 * inverse @ system.charges
    potentials = solve(system)
    differences = (potentials - expected) - (potentials - expected).mean()
    assert differences.abs().max() < 1e-2 * expected.abs().max()


@pytest.mark.parametrize("neutral", [True, False])
def test_vacuum_of_slabs_does_not_matter(neutral, monkeypatch):
    system = random_system("skewed", pbc=(True, True, False), neutral=neutral)
    expected = solve(system, accuracy=1e-10)
    for gap in (4.0, 5.0):
        for module in ("solver", "potentials"):
            name = f"metatrain_lorem.coulomb.{module}.slab_gap"
            monkeypatch.setattr(name, lambda _, g=gap: g)
        other = solve(system, accuracy=1e-10)
        torch.testing.assert_close(other, expected, rtol=1e-8, atol=1e-8)
    stored = system._replace(cell=system.cell * system.pbc.unsqueeze(1))
    monkeypatch.undo()
    torch.testing.assert_close(
        solve(stored, accuracy=1e-10), expected, rtol=1e-12, atol=1e-12
    )


def test_open_systems():
    system = random_system(num_atoms=30, pbc=(False, False, False))
    distances = torch.cdist(
        system.positions, system.positions, compute_mode="donot_use_mm_for_euclid_dist"
    )
    inverse = torch.where(distances > 0, 1 / distances, 0.0)
    expected = 0.5 * inverse @ system.charges
    for cutoff in (0.5, 5.0):
        torch.testing.assert_close(solve(system, cutoff), expected, rtol=1e-12, atol=1e-12)
    alone = Charged(*[x[:1] for x in system[:2]], *system[2:])
    assert torch.equal(solve(alone), torch.zeros(1, 2, dtype=torch.float64))
    assert solve(Charged(*[x[:0] for x in system[:2]], *system[2:])).shape == (0, 2)


def test_refusals():
    wire = random_system(pbc=(False, True, False))
    with pytest.raises(ValueError, match="system 0 is periodic in one direction only"):
        solve(wire)
    flat = random_system()
    for cell in (torch.zeros(3, 3), flat.cell[torch.tensor([0, 1, 1])]):
        with pytest.raises(ValueError, match="system 0 .* span no volume"):
            solve(flat._replace(cell=cell.double()))
    plane = random_system(pbc=(True, True, False))
    with pytest.raises(ValueError, match="system 0 .* span no volume"):
        solve(plane._replace(cell=plane.cell[torch.tensor([0, 0, 2])]))


@pytest.mark.parametrize("pbc", PERIODICITIES[::2])
@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-6, 1e-3])
def test_overlapping_charges_are_finite(distance, pbc):
    system = random_system(pbc=pbc)
    positions = system.positions.clone()
    positions[1] = positions[0]
    positions[1, 0] += distance
    for dtype in (torch.float64, torch.float32):
        x = positions.to(dtype).requires_grad_(True)
        charges, cell = system.charges.to(dtype), system.cell.to(dtype)
        potentials = coulomb_potentials(x, charges, cell, system.pbc, cutoff=5.0)
        (gradient,) = torch.autograd.grad((potentials * charges).sum(), x)
        assert torch.isfinite(potentials).all()
        assert torch.isfinite(gradient).all()
