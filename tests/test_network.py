"""Symmetries and derivatives of the network, and everything a batch may hold."""

import copy
import itertools
import subprocess
import sys

import pytest
import torch
from energy_model import CUTOFF, EnergyModel, Results, evaluate
from systems import (
    STRUCTURES,
    Structure,
    charged_crystal,
    crystal,
    distant_atoms,
    lone_ion,
    make_graph,
    make_structure,
    molecule,
    molecules,
    permuted,
    repeated,
    rotation,
    shifted,
    single_atom,
    skewed_crystal,
    slab,
    transformed,
    translated,
    with_other_cell,
)


PERIODIC = [
    "crystal",
    "skewed_crystal",
    "charged_crystal",
    "slab",
    "lone_ion",
    "tiny_cell",
]
# The vacuum of a slab is as high as its longest lattice vector tells, so that other
# vectors of the same lattice leave a difference: exp(-2 pi gap), and a neglected part of
# the reciprocal space that is not the same.
SLAB_TOLERANCE = 1e-8


@pytest.fixture(scope="module", params=[0, 1], ids=["local", "messages"])
def model(request: pytest.FixtureRequest) -> EnergyModel:
    return EnergyModel(num_message_passing=request.param)


def results_of(model: torch.nn.Module, *structures: Structure) -> Results:
    return evaluate(model, make_graph(list(structures), CUTOFF))


def assert_equal(results: Results, expected: Results, tolerance: float = 1e-10) -> None:
    for value, other in zip(results, expected, strict=True):
        torch.testing.assert_close(value, other, rtol=tolerance, atol=tolerance)


def test_structures_are_what_they_say(model):
    """Tests of symmetry mean nothing if there is nothing to see."""
    for name in ("crystal", "skewed_crystal", "charged_crystal", "slab", "molecule"):
        results = results_of(model, STRUCTURES[name]())
        assert float(results.forces.abs().max()) > 0.05
        assert float(results.virials.abs().max()) > 0.05
    charges = model.network(make_graph([charged_crystal()], CUTOFF)).charges[:, 0]
    torch.testing.assert_close(charges.sum().abs(), charges.abs().sum())
    assert float(charges.detach().abs().min()) > 0.05
    for function in (single_atom, lone_ion, distant_atoms):
        assert len(make_graph([function()], CUTOFF).centers) == 0


# --- symmetries -------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1], ids=["rotation", "reflection"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_rotation(model, name, sign):
    structure, matrix = STRUCTURES[name](), sign * rotation(1)
    results = results_of(model, structure)
    expected = Results(
        results.energies, results.forces @ matrix.T, matrix @ results.virials @ matrix.T
    )
    assert_equal(results_of(model, transformed(structure, matrix)), expected)


@pytest.mark.parametrize("name", STRUCTURES)
def test_inversion(model, name):
    structure = STRUCTURES[name]()
    results = results_of(model, structure)
    expected = results._replace(forces=-results.forces)
    assert_equal(
        results_of(model, transformed(structure, -torch.eye(3).double())), expected
    )


@pytest.mark.parametrize("name", STRUCTURES)
def test_translation(model, name):
    """By 1e4 Angstrom. Positions are rounded first to what is left there, 2**-38."""
    structure = STRUCTURES[name]()
    rounded = torch.round(structure.positions * 2**30) / 2**30
    structure = structure._replace(positions=rounded)
    moved = translated(structure, [1e4, -1e4, 1e4])
    assert_equal(results_of(model, moved), results_of(model, structure))


@pytest.mark.parametrize("name", STRUCTURES)
def test_permutation(model, name):
    structure = STRUCTURES[name]()
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(structure.species), generator=generator)
    results = results_of(model, structure)
    expected = results._replace(forces=results.forces[order])
    assert_equal(results_of(model, permuted(structure, order)), expected)


@pytest.mark.parametrize("name", PERIODIC)
def test_lattice_shifts_of_single_atoms(model, name):
    structure = STRUCTURES[name]()
    moved = shifted(structure)
    assert float((moved.positions - structure.positions).abs().max()) > 3
    assert_equal(results_of(model, moved), results_of(model, structure))


@pytest.mark.parametrize("name", PERIODIC)
def test_choice_of_cell(model, name):
    structure = STRUCTURES[name]()
    tolerance = SLAB_TOLERANCE if name == "slab" else 1e-10
    assert_equal(
        results_of(model, with_other_cell(structure)),
        results_of(model, structure),
        tolerance,
    )


@pytest.mark.parametrize("name", PERIODIC)
def test_supercell(model, name):
    structure = STRUCTURES[name]()
    results = results_of(model, structure)
    repeats = (2, 2, 1) if name == "slab" else (2, 1, 2)
    expected = Results(
        4 * results.energies, results.forces.repeat(4, 1), 4 * results.virials
    )
    tolerance = SLAB_TOLERANCE if name == "slab" else 1e-10
    assert_equal(results_of(model, repeated(structure, repeats)), expected, tolerance)


def test_order_of_lattice_vectors(model):
    """The open direction of a slab may be any of the three."""
    structure = slab()
    results = results_of(model, structure)
    for order in itertools.permutations(range(3)):
        other = structure._replace(
            cell=structure.cell[list(order)], pbc=structure.pbc[list(order)]
        )
        assert_equal(results_of(model, other), results)


def test_open_direction_of_cell(model):
    """What a file stores along the open direction of a slab has no meaning."""
    results = results_of(model, slab())
    cell = slab().cell.clone()
    cell[2] = torch.tensor([0.5, 0.3, 30.0])
    other = results_of(model, slab()._replace(cell=cell))
    torch.testing.assert_close(other.energies, results.energies, rtol=0, atol=1e-12)
    torch.testing.assert_close(other.forces, results.forces, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", STRUCTURES)
def test_no_net_force_and_no_torque(model, name):
    results = results_of(model, STRUCTURES[name]())
    size = 1 + float(results.forces.abs().max())
    assert float(results.forces.sum(0).abs().max()) < 1e-12 * size
    virial = results.virials[0]
    # A rotation is an antisymmetric strain.
    torch.testing.assert_close(virial, virial.T, rtol=0, atol=1e-12 * size)


# --- batches ----------------------------------------------------------------------------

MIXED = ["crystal", "slab", "molecule", "single_atom", "distant_atoms", "lone_ion"]


@pytest.mark.parametrize("seed", range(4))
def test_batch(model, seed):
    """Systems of all kinds together are what each of them is alone."""
    names = MIXED + ["skewed_crystal", "charged_crystal", "molecules", "slab"]
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(names), generator=generator).tolist()
    structures = [STRUCTURES[names[i]]() for i in order]
    alone = [results_of(model, structure) for structure in structures]
    expected = Results(*[torch.cat(values) for values in zip(*alone, strict=True)])
    assert_equal(results_of(model, *structures), expected, 1e-12)


def test_charges_of_batch(model):
    structures = [STRUCTURES[name]() for name in MIXED]
    nodes = model.network(make_graph(structures, CUTOFF))
    alone = [model.network(make_graph([structure], CUTOFF)) for structure in structures]
    for name in ("charges", "potentials"):
        expected = torch.cat([getattr(values, name) for values in alone])
        torch.testing.assert_close(getattr(nodes, name), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("long_range", [True, False])
def test_systems_without_atoms(long_range):
    model = EnergyModel(long_range=long_range)
    nothing = make_structure([], torch.zeros(0, 3))
    alone = results_of(model, nothing)
    assert alone.energies.tolist() == [0]
    assert alone.forces.shape == (0, 3)
    together = results_of(model, nothing, crystal(), nothing, molecule(), nothing)
    expected = [results_of(model, crystal()), results_of(model, molecule())]
    assert together.energies[[0, 2, 4]].tolist() == [0, 0, 0]
    for i, results in zip((1, 3), expected, strict=True):
        torch.testing.assert_close(
            together.energies[i], results.energies[0], rtol=1e-12, atol=1e-12
        )


# --- derivatives ------------------------------------------------------------------------

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
    model = EnergyModel(num_message_passing=num_message_passing, accuracy=1e-12)
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


def loss_of(model: EnergyModel, structures: list[Structure]) -> torch.Tensor:
    results = evaluate(model, make_graph(structures, CUTOFF), create_graph=True)
    return sum(values.pow(2).sum() for values in results)


def trained_parameters(model: EnergyModel) -> list[torch.nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


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
    structures = [STRUCTURES[name]() for name in ("skewed_crystal", *MIXED[1:])]
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


# --- numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRUCTURES)
def test_float32(model, name):
    structure = STRUCTURES[name]()
    expected = results_of(model, structure)
    graph = make_graph([structure], CUTOFF, dtype=torch.float32)
    results = evaluate(copy.deepcopy(model).float(), graph)
    for value, other in zip(results, expected, strict=True):
        assert value.dtype == torch.float32
        size = 1 + float(other.abs().max())
        torch.testing.assert_close(value.double(), other, rtol=0, atol=2e-5 * size)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-6, 1e-3])
@pytest.mark.parametrize("function", [crystal, slab, molecule])
def test_overlapping_atoms(function, distance, dtype):
    """Two atoms in one place, whatever they do there, must not end a simulation."""
    model = EnergyModel(num_message_passing=1).to(dtype)
    structure = function()
    positions = structure.positions.clone()
    positions[1] = positions[0] + distance * torch.tensor([0.6, 0.0, 0.8])
    graph = make_graph([structure._replace(positions=positions)], CUTOFF, dtype=dtype)
    for values in evaluate(model, graph):
        assert bool(torch.isfinite(values).all())


def test_evaluation_and_training_are_the_same(model):
    graph = make_graph([crystal(), slab(), molecule()], CUTOFF)
    training = model.train()(graph)
    evaluation = model.eval()(graph)
    assert torch.equal(training, evaluation)


@pytest.mark.parametrize("num_message_passing", [0, 1])
def test_torchscript(num_message_passing):
    """The scripted model is the same, its derivatives and those of a loss, too."""
    model = EnergyModel(num_message_passing=num_message_passing)
    scripted = torch.jit.script(model)
    structures = [STRUCTURES[name]() for name in MIXED]
    for batch in (structures, [single_atom()], [molecules()]):
        graph = make_graph(batch, CUTOFF)
        assert_equal(evaluate(scripted, graph), evaluate(model, graph), 1e-12)
    gradients = [
        torch.autograd.grad(loss_of(module, structures), module.readout.parameters())
        for module in (model, scripted)
    ]
    for expected, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)


# --- options ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"max_degree": 0, "max_degree_lr": 0},
        {"max_degree": 1, "max_degree_lr": 1},
        {"max_degree_lr": 0},
        {"max_degree_lr": 3},
        {"num_radial": 1},
        {"num_spherical_features": 1},
        {"num_species_features": 1},
        {"num_features": 2},
        {"initialize_node_features": False},
        {"num_message_passing": 2},
        {"num_message_passing": 2, "equivariant_message_passing": False},
        {"long_range": False},
        {"long_range": False, "num_message_passing": 1},
        {"accuracy": 0.0},
        {"smearing": 0.8},
    ],
    ids=lambda options: ", ".join(f"{key}={value}" for key, value in options.items()),
)
def test_options(options):
    """Every option leaves an equivariant model with finite derivatives."""
    model = EnergyModel(**options)
    structures = [STRUCTURES[name]() for name in MIXED]
    matrix = -rotation(2)
    results = results_of(model, *structures)
    expected = Results(
        results.energies, results.forces @ matrix.T, matrix @ results.virials @ matrix.T
    )
    turned = [transformed(structure, matrix) for structure in structures]
    assert_equal(results_of(model, *turned), expected)
    gradients = torch.autograd.grad(
        loss_of(model, structures),
        trained_parameters(model),
        allow_unused=True,
        materialize_grads=True,
    )
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_species(model):
    """Each species is another one, also those that no training has seen."""
    energies = []
    for species in (0, 1, 2, 55, 99):
        structure = molecule()._replace(species=torch.tensor([species, 1, 1]))
        energies.append(float(results_of(model, structure).energies))
    distances = torch.tensor(energies).unsqueeze(1) - torch.tensor(energies)
    assert int((distances.abs() > 1e-3).sum()) == len(energies) * (len(energies) - 1)


@pytest.mark.parametrize("species", [100, 118, 300])
def test_species_beyond_the_first_hundred(species):
    """In a row of its own, and paired correctly with all others."""
    model = EnergyModel(num_species=species + 1)
    structure = skewed_crystal()
    results = results_of(model, structure)
    table = model.network.species.weight.data
    table[species] = table[11]
    numbers = torch.where(structure.species == 11, species, structure.species)
    assert_equal(results_of(model, structure._replace(species=numbers)), results, 1e-12)


def test_needs_torch_only():
    """The network runs where none of metatrain's world is installed."""
    code = [
        "import sys",
        "import metatrain_lorem.network, metatrain_lorem.readout",
        "names = {name.split('.')[0] for name in sys.modules}",
        "print(names & {'metatrain', 'metatomic', 'metatensor'})",
    ]
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "set()"
