"""Energies are smooth where symmetry makes spherical features vanish.

There, the paper's norms have cusps: forces that symmetry forbids, no minimum to relax to,
and vibrations of one level at different frequencies.
"""

import pytest
import torch
from helpers.energy_model import CUTOFF, EnergyModel, results_of
from helpers.symmetric import CRYSTALS, MOLECULES, symmetries
from helpers.systems import Structure, make_graph, make_structure, rattled

from metatrain_lorem.network.readout import CartesianBlock, Readout, SphericalBlock


VARIANTS = {
    "local": {},
    "messages": {"num_message_passing": 1},
    "short range": {"long_range": False},
}


@pytest.fixture(scope="module", params=VARIANTS)
def model(request: pytest.FixtureRequest) -> EnergyModel:
    return EnergyModel(**VARIANTS[request.param])


def hessian(model: EnergyModel, structure: Structure) -> torch.Tensor:
    """Second derivatives by the positions, ``[3 N, 3 N]``."""
    graph = make_graph([structure], CUTOFF)
    positions = graph.positions.requires_grad_()
    (gradient,) = torch.autograd.grad(model(graph).sum(), positions, create_graph=True)
    rows = [
        torch.autograd.grad(component, positions, retain_graph=True)[0].flatten()
        for component in gradient.flatten()
    ]
    return torch.stack(rows)


def along(model: EnergyModel, structure: Structure, atom: int, steps: torch.Tensor):
    """Energies while an atom moves along an oblique direction."""
    direction = torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64)
    moved = [
        structure.positions.index_add(0, torch.tensor([atom]), step * direction[None])
        for step in steps
    ]
    graph = make_graph([structure._replace(positions=p) for p in moved], CUTOFF)
    return model(graph).detach()


@pytest.mark.parametrize("name", [n for n in MOLECULES if n != "overlapping"])
def test_forces_of_molecules_have_their_symmetry(model, name):
    structure = MOLECULES[name]
    forces = results_of(model, structure).forces
    for matrix, image in symmetries(structure):
        torch.testing.assert_close(forces[image], forces @ matrix.T, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CRYSTALS)
def test_perfect_crystals(model, name):
    """No force, and the same stress in all directions."""
    results = results_of(model, CRYSTALS[name])
    assert float(results.forces.abs().max()) < 1e-10
    virial = results.virials[0]
    isotropic = virial.trace() / 3 * torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(virial, isotropic, rtol=1e-10, atol=1e-10)
    assert float(virial.abs().max()) > 1e-3


@pytest.mark.parametrize("name", [n for n in MOLECULES if n != "fullerene"])
def test_second_derivatives_of_molecules(model, name):
    """Symmetric, and those that translations and rotations imply."""
    structure = MOLECULES[name]
    matrix = hessian(model, structure)
    scale = max(1.0, float(matrix.abs().max()))
    assert bool(torch.isfinite(matrix).all())
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-10 * scale)
    gradient = -results_of(model, structure).forces
    for axis in torch.eye(3, dtype=torch.float64):
        shift = axis.expand_as(structure.positions).flatten()
        assert float((matrix @ shift).abs().max()) < 1e-9 * scale
        if name != "overlapping":  # whose energy turns with neither of the two atoms
            turn = torch.linalg.cross(axis.expand(len(gradient), 3), structure.positions)
            change = torch.linalg.cross(axis.expand(len(gradient), 3), gradient)
            torch.testing.assert_close(
                (matrix @ turn.flatten()).reshape(-1, 3), change, rtol=0, atol=1e-9 * scale
            )


def test_levels_of_methane(model):
    """One, two, and five times three of the fifteen eigenvalues are equal."""
    levels = torch.linalg.eigvalsh(hessian(model, MOLECULES["methane"]))
    assert multiplicities(levels) == [1, 2, 3, 3, 3, 3]


@pytest.mark.parametrize("name", [n for n in CRYSTALS if n != "fcc"])
def test_levels_of_crystals(model, name):
    """Three translations, and three equal vibrations."""
    levels = torch.linalg.eigvalsh(hessian(model, CRYSTALS[name]))
    scale = float(levels.abs().max())
    assert int((levels.abs() < 1e-9 * scale).sum()) == 3
    assert multiplicities(levels) == [3, 3]


def multiplicities(levels: torch.Tensor) -> list[int]:
    """Sizes of the groups of eigenvalues that agree within 1e-6 of the largest one."""
    gaps = levels.diff() > 1e-6 * levels.abs().max()
    ends = [*(torch.nonzero(gaps).flatten() + 1).tolist(), len(levels)]
    return sorted(end - start for start, end in zip([0, *ends], ends, strict=False))


@pytest.mark.parametrize("name", ["methane", "dioxide", "atom", "NaCl", "ZnS", "fcc"])
def test_finite_differences_at_symmetric_sites(model, name):
    """Of the energy, to 1e-7, and its curvature is that of the second derivative."""
    structure = {**MOLECULES, **CRYSTALS}[name]
    atom = 1 if name == "dioxide" else 0
    steps = 2e-5 * torch.arange(-2, 3, dtype=torch.float64)
    energies = along(model, structure, atom, steps)
    slope = energies @ torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0]).double() / 24e-5
    direction = torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64)
    expected = -results_of(model, structure).forces[atom] @ direction
    assert float((slope - expected).abs()) < 1e-7
    weights = torch.tensor([-1.0, 16.0, -30.0, 16.0, -1.0]).double()
    curvature = energies @ weights / 48e-10
    block = hessian(model, structure)[3 * atom : 3 * atom + 3, 3 * atom : 3 * atom + 3]
    expected = direction @ block @ direction
    assert float((curvature - expected).abs()) < 1e-4 * max(1.0, float(expected.abs()))


def test_atoms_that_meet(model):
    """Values and second derivatives stay finite while an atom passes through another."""
    for distance in (1e-3, 1e-6, 1e-9, 0.0):
        structure = make_structure([8, 1], [[0.0, 0.0, 0.0], [0.0, 0.6, 0.8]])
        structure = structure._replace(positions=distance * structure.positions)
        matrix = hessian(model, structure)
        assert bool(torch.isfinite(matrix).all())


def test_atoms_that_come_and_go():
    """Second differences of the energy while an atom crosses the cutoff vanish."""
    model = EnergyModel(long_range=False)
    pair = make_structure([8, 17, 1], [[0.0] * 3, [0.0, 0.0, 1.5], [2.37, 2.37, 2.37]])
    changes = []
    for num_steps in (100, 200, 400):
        steps = torch.linspace(-0.5, 0.5, num_steps + 1, dtype=torch.float64)
        changes.append(float(along(model, pair, 2, steps).diff(n=2).abs().max()))
    assert changes[0] / changes[1] == pytest.approx(4, rel=0.2)
    assert changes[1] / changes[2] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("name", ["methane", "NaCl"])
def test_other_targets(model, name):
    """Derivatives of all heads against differences, at a symmetric site."""
    network, structure = model.network, {**MOLECULES, **CRYSTALS}[name]
    sizes = network.sizes
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vector = SphericalBlock(sizes, 1, False, 1, [2, 0, 1])
        pseudovector = SphericalBlock(sizes, 1, True, 1, [0, 1, 2])
        blocks = [vector, pseudovector, CartesianBlock(sizes, 1)]
        readout = Readout(sizes, blocks).double()
    weights = torch.randn(9, generator=torch.Generator().manual_seed(1)).double()

    def values(positions: torch.Tensor) -> torch.Tensor:
        graph = make_graph([structure], CUTOFF)._replace(positions=positions)
        nodes = network(graph)
        tensors = readout(readout.features(nodes.scalars), nodes.spherical)
        return torch.stack(
            [(t[0].flatten() * weights[: t[0].numel()]).sum() for t in tensors]
        )

    # What vanishes by symmetry is measured by what it is elsewhere.
    sizes_of_values = values(rattled(structure).positions).detach().abs()
    positions = structure.positions.clone().requires_grad_()
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(
            lambda x: values(x) / sizes_of_values, positions, fast_mode=True, atol=1e-5
        )


@pytest.mark.parametrize("long_range", [False, True])
def test_second_derivatives_at_the_cutoff(long_range):
    """Of a pair that crosses it; with the paper's radial functions, they jump."""

    def jump(radial_functions: str) -> float:
        model = EnergyModel(long_range=long_range, radial_functions=radial_functions)
        curvatures = []
        for distance in (CUTOFF - 1e-6, CUTOFF + 1e-6):
            positions = torch.zeros(2, 3, dtype=torch.float64)
            positions[1] = distance * torch.tensor([0.48, 0.6, 0.64])
            pair = make_structure([8, 1], positions)
            curvatures.append(hessian(model, pair))
        return float((curvatures[1] - curvatures[0]).abs().max())

    assert jump("smooth") < 1e-7
    assert jump("paper") > 1e-3
