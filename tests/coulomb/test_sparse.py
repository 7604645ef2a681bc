"""Systems much larger than the cutoff: other sums of the same potentials."""

import time

import pytest
import torch
from helpers.coulomb_cases import (
    CUTOFF,
    Charged,
    assert_same_derivatives,
    graph_of,
    random_system,
    solve_graph,
    supercell,
)

from metatrain_lorem.coulomb import CoulombSolver, coulomb_potentials
from metatrain_lorem.coulomb.cells import Cells, inverses_and_volumes
from metatrain_lorem.coulomb.estimate import estimate, plan_of_one
from metatrain_lorem.coulomb.nearest_images import NearestImages
from metatrain_lorem.coulomb.periodicity import near_origin
from metatrain_lorem.coulomb.sparse import LengthScale


SLAB = (True, True, False)
SIZES = {"cubic": 5.0, "skewed": 5.0, "left-handed": 5.0, "plate": 2.5}


def sparse_system(cell="skewed", num_atoms=12, pbc=(True, True, True), **options):
    system = random_system(cell, num_atoms, pbc=pbc, **options)
    scale = SIZES[cell]
    return system._replace(positions=scale * system.positions, cell=scale * system.cell)


def scale_of(solver, system):
    columns = system.charges.shape[1]
    plan = plan_of_one(solver, system.positions, system.cell, system.pbc, columns)
    return estimate(solver, plan, columns, 8).reach / CUTOFF


def results(solver, system):
    """Potentials, forces and derivative by strain."""
    positions = system.positions.clone().requires_grad_()
    strain = torch.eye(3, dtype=torch.float64).requires_grad_()
    graph = graph_of([system])
    graph = graph._replace(positions=positions @ strain, cells=graph.cells @ strain)
    potentials = solve_graph(solver, graph, system.charges)
    energy = (potentials * system.charges).sum()
    return potentials.detach(), *torch.autograd.grad(energy, (positions, strain))


@pytest.mark.parametrize("pbc", [(True, True, True), SLAB, (False, True, True)])
@pytest.mark.parametrize("cell", ["cubic", "skewed", "left-handed"])
@pytest.mark.parametrize("num_atoms", [1, 3, 40])
def test_same_sums_as_within_the_cutoff(cell, num_atoms, pbc):
    system = sparse_system(cell, num_atoms, pbc)
    solver, other = (CoulombSolver(CUTOFF, accuracy=1e-11) for _ in range(2))
    other.planner.length_scale.is_free = False
    assert scale_of(solver, system) > 1.5
    assert scale_of(other, system) == 1.0
    for values, expected in zip(results(solver, system), results(other, system)):
        error = (values - expected).abs().max() / expected.abs().max().clamp(min=1e-3)
        assert float(error) < 1e-9


def batch():
    """Dense, sparse and open systems; sparse ones of many scales, crystals and slabs."""
    return [
        random_system("skewed", 12),
        sparse_system("skewed", 12),
        sparse_system("cubic", 1),
        random_system("cubic", 5, pbc=(False, False, False)),
        sparse_system("left-handed", 30, SLAB),
        random_system("left-handed", 7, pbc=SLAB),
        sparse_system("cubic", 8, seed=3),
        sparse_system("plate", 8),
        sparse_system("skewed", 3, SLAB[::-1]),
    ]


def test_batch_equals_single_systems():
    systems, solver = batch(), CoulombSolver(CUTOFF)
    scales = {round(scale_of(solver, s), 3) for s in systems}
    assert len(scales) > 4
    charges = torch.cat([system.charges for system in systems])
    potentials = solve_graph(solver, graph_of(systems), charges)
    singles = [solve_graph(solver, graph_of([s]), s.charges) for s in systems]
    torch.testing.assert_close(potentials, torch.cat(singles), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torchscript_and_chunks(dtype):
    systems = batch()
    graph = graph_of(systems, dtype)
    charges = torch.cat([system.charges for system in systems]).to(dtype)
    solvers = [CoulombSolver(CUTOFF, memory=memory) for memory in (2**29, 100_000)]
    assert_same_derivatives(solvers, graph, charges)


@pytest.mark.parametrize("pbc", [(True, True, True), SLAB])
def test_first_and_second_derivatives(pbc):
    system = sparse_system("skewed", 3, pbc)
    solver = CoulombSolver(CUTOFF, accuracy=1e-11)
    plan = plan_of_one(solver, system.positions, system.cell, system.pbc, 2)
    assert plan.num_dense == 0
    pairs = None  # none are needed

    def solve(positions, charges, cell):
        return solver.evaluate(positions, charges, cell.unsqueeze(0), pairs, plan)

    inputs = [x.clone().requires_grad_(True) for x in system[:3]]
    assert torch.autograd.gradcheck(solve, inputs, atol=1e-7, rtol=1e-6)
    assert torch.autograd.gradgradcheck(solve, inputs, atol=1e-7, rtol=1e-6)


def test_coincident_atoms():
    """Large, but finite, as in open systems; no force where there is no direction."""
    system = sparse_system("cubic", 3)
    system.positions[1] = system.positions[0]
    potentials, forces, virial = results(CoulombSolver(CUTOFF), system)
    assert bool(torch.isfinite(potentials).all())
    assert bool(torch.isfinite(forces).all())
    assert bool(torch.isfinite(virial).all())
    assert float(forces.abs().max()) < 10


def test_k_vectors_do_not_grow():
    solver, counts = CoulombSolver(CUTOFF), set()
    for edge in (30.0, 50.0, 100.0, 1000.0, 1e5):
        cell = edge * torch.eye(3, dtype=torch.float64)
        plan = plan_of_one(solver, torch.rand(3, 3), cell, torch.tensor([True] * 3), 10)
        counts.add(estimate(solver, plan, 10, 8).num_k)
    assert max(counts) < 600


def test_water_in_a_large_cube():
    """As alone, but for the field of its images; in no time."""
    positions = torch.tensor([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]).double()
    positions = positions + 999.7  # across all faces
    charges = torch.tensor([[-0.8], [0.4], [0.4]]).double()
    cell = 1000 * torch.eye(3, dtype=torch.float64)
    start = time.monotonic()
    periodic, alone = (
        coulomb_potentials(
            *(positions % 1000 if pbc else positions, charges, cell),
            torch.tensor([pbc] * 3),
            cutoff=CUTOFF,
        )
        for pbc in (True, False)
    )
    assert time.monotonic() - start < 5
    torch.testing.assert_close(periodic, alone, rtol=0, atol=1e-8)


@pytest.mark.parametrize("columns", [1, 10])
@pytest.mark.parametrize("volume", [10.0, 22.0, 32.0])  # of an atom
def test_dense_systems_stay_within_the_cutoff(volume, columns):
    """Cubes of water (10 Angstrom^3 for an atom), rock salt (22) and expanded ones."""
    solver = CoulombSolver(CUTOFF)
    for num_atoms in (64, 192, 512, 1000, 4096, 30_000):
        cell = (volume * num_atoms) ** (1 / 3) * torch.eye(3, dtype=torch.float64)
        positions = torch.zeros(num_atoms, 3, dtype=torch.float64)
        plan = plan_of_one(solver, positions, cell, torch.tensor([True] * 3), columns)
        assert plan.num_dense == 1


@pytest.mark.parametrize("options", [{"smearing": 1.25}, {"method": "mesh"}])
def test_explicit_wishes_are_kept(options):
    assert scale_of(CoulombSolver(CUTOFF, **options), sparse_system("cubic", 12)) == 1


@pytest.mark.parametrize("pbc", [(True, True, True), SLAB])
def test_mesh(pbc):
    """Large systems, whose smooth part is summed on a mesh."""
    system = sparse_system("skewed", 40, pbc)
    solver, other = (CoulombSolver(CUTOFF, accuracy=1e-8) for _ in range(2))
    solver.planner.mesh_work = 30.0
    plan = plan_of_one(solver, system.positions, system.cell, system.pbc, 2)
    assert len(plan.mesh) == 1
    assert scale_of(solver, system) > 1.2
    for values, expected in zip(results(solver, system), results(other, system)):
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-7)


def test_many_atoms():
    """Pairs of more atoms take much memory: only where everything else takes more."""
    scale = LengthScale(CoulombSolver(CUTOFF).split, True)
    volumes = [scale.least_volume(n, 12.6, 4900.0) for n in (0, 8192, 8193, 60_000)]
    assert volumes[2] > 15 * volumes[1]
    assert volumes[0] == volumes[3] == float("inf")


def energies(system, deformations, solver):
    """Per atom, in eV for elementary charges and Angstrom; and the scales."""
    values, scales = [], []
    for deformation in deformations:
        deformed = system._replace(
            positions=system.positions @ deformation, cell=system.cell @ deformation
        )
        potentials = solve_graph(solver, graph_of([deformed]), system.charges)
        energy = 14.4 * (potentials * system.charges).sum()
        values.append(energy / len(system.positions))
        scales.append(scale_of(solver, deformed))
    return torch.stack(values), scales


def stretched(system, volume):
    factor = (volume / float(torch.linalg.det(system.cell).abs())) ** (1 / 3)
    return system._replace(positions=factor * system.positions, cell=factor * system.cell)


IDENTITY = torch.eye(3, dtype=torch.float64)


@pytest.mark.parametrize("where", ["start", "widest", "shear", "slab"])
def test_no_steps_as_a_cell_grows(where):
    """The scale begins to grow, grows, and stops to grow: nothing is to be seen.

    A step makes a fourth difference of three times its size.
    """
    solver = CoulombSolver(CUTOFF)
    system = supercell("NaCl cubic", 2, 0.3)
    system = system._replace(charges=system.charges + 0.1)
    least = solver.planner.length_scale.least_volume(64, 3.6, 1e9)
    if where == "slab":
        system = stretched(system, 20_000.0)._replace(pbc=torch.tensor(SLAB))
    else:
        system = stretched(system, least if where == "start" else 1.2 * least)
    if where in ("widest", "shear"):
        # A flat cell: the distance of its faces limits the range to where it is by now
        height = 2 * CUTOFF * 1.2**2 / (1.2 * least) ** (1 / 3)
        flat = torch.diag(torch.tensor([height**-0.5, height**-0.5, height])).double()
        system = system._replace(positions=system.positions @ flat, cell=system.cell @ flat)
    steps = torch.linspace(-0.02, 0.02, 200, dtype=torch.float64)
    deformations = [(1 + step) * IDENTITY for step in steps]
    if where == "shear":
        skew = torch.tensor([[0.0, 1, 0], [0, 0, 0.4], [0.3, 0, 0]], dtype=torch.float64)
        deformations = [IDENTITY + 3 * step * skew for step in steps]
    values, scales = energies(system, deformations, solver)
    if where == "start":
        assert scales[0] == scales[50] == 1 < scales[-50] < scales[-1]
    if where == "widest":
        growth = torch.tensor(scales).log().diff()
        assert float(growth[0]) > 4 * float(growth[-1])
    assert len(set(scales)) > 30
    assert float(values.diff(n=4).abs().max()) / 3 < 1e-9


def test_molecules_stay_whole_in_single_precision():
    """Wherever a molecule lies in a large cell, its distances are not rounded."""
    molecule = torch.tensor([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]).double()
    cell = 1000 * torch.eye(3, dtype=torch.float64)
    system = Charged((molecule + 999.9) % 1000, torch.zeros(3, 1), cell, torch.ones(3) > 0)
    solver = CoulombSolver(CUTOFF)
    plan = plan_of_one(solver, system.positions, cell, system.pbc, 1)
    positions, _ = near_origin(
        *(system.positions, cell[None], plan.pbc, plan.systems, plan.lattices),
        torch.float32,
    )
    distances = torch.cdist(positions.double(), positions.double())
    assert float((distances - torch.cdist(molecule, molecule)).abs().max()) < 1e-6


def test_nearest_images_are_all_within_the_cutoff():
    """Against a sum over many images, with the range at its limit, in a skewed cell."""
    system = random_system("skewed", 12, seed=1)
    heights = 1 / torch.linalg.vector_norm(torch.linalg.inv(system.cell), dim=0)
    cutoff = 0.5 * float(heights.min())
    split = CoulombSolver(cutoff).split
    positions, charges, cell = (x.unsqueeze(0) for x in system[:3])
    cells = Cells(cell, *inverses_and_volumes(cell))
    result = NearestImages(split)(positions, charges, cells)[0]
    images = torch.cartesian_prod(*[torch.arange(-3.0, 4.0)] * 3).double() @ system.cell
    vectors = system.positions[:, None] + images - system.positions[:, None, None]
    kernel = split.pairs(torch.linalg.vector_norm(vectors, dim=3).clamp(min=1e-30))
    kernel[(vectors == 0).all(3)] = 0.0
    torch.testing.assert_close(result, kernel.sum(2) @ system.charges)
