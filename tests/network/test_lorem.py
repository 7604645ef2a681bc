"""Numbers and options of the network."""

import copy
import subprocess
import sys

import pytest
import torch
from helpers.energy_model import (
    CUTOFF,
    EnergyModel,
    Results,
    assert_equal,
    evaluate,
    loss_of,
    results_of,
    trained_parameters,
)
from helpers.systems import (
    STRUCTURES,
    crystal,
    make_graph,
    mixed,
    molecule,
    molecules,
    rotation,
    single_atom,
    skewed_crystal,
    slab,
    transformed,
)

from metatrain_lorem.coulomb import CoulombSolver
from metatrain_lorem.network.reference import jax_solver


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


def test_torchscript():
    """The scripted model is the same, its derivatives and those of a loss, too."""
    model = EnergyModel(num_message_passing=1)  # all there is
    scripted = torch.jit.script(model)
    structures = mixed()
    for batch in (structures, [single_atom()], [molecules()]):
        graph = make_graph(batch, CUTOFF)
        assert_equal(evaluate(scripted, graph), evaluate(model, graph), 1e-12)
    gradients = [
        torch.autograd.grad(loss_of(module, structures), module.readout.parameters())
        for module in (model, scripted)
    ]
    for expected, gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)


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
        {"norms": "signed", "num_message_passing": 1},
        {"num_message_passing": 2},
        {"num_message_passing": 2, "equivariant_message_passing": False},
        {"long_range": False},
        {"long_range": False, "num_message_passing": 1},
        {"solver": jax_solver(CUTOFF, CUTOFF / 4)},
        {"solver": CoulombSolver(CUTOFF, 0.8)},
    ],
    ids=lambda options: ", ".join(f"{key}={value}" for key, value in options.items())[:60],
)
def test_options(options):
    """Every option leaves an equivariant model with finite derivatives."""
    model = EnergyModel(**options)
    structures = mixed()
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
        "import metatrain_lorem.network, metatrain_lorem.network.readout",
        "names = {name.split('.')[0] for name in sys.modules}",
        "print(names & {'metatrain', 'metatomic', 'metatensor'})",
    ]
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "set()"


def test_settings_are_shown():
    """``print(model)`` tells what the network is made of."""
    text = str(EnergyModel(norms="signed", num_message_passing=1, max_degree_lr=1))
    for setting in (
        "cutoff=4.0, Sizes(num_stages=3, num_features=16, num_spherical_features=4, "
        "max_degree=3)",
        "RadialBasis(cutoff=4.0, num_radial=8, num_dropped=2)",
        "SphericalHarmonics(max_degree=3)",
        "DegreeNorms(max_degree=3, signed=True)",
        "DegreeLinear(max_degree=1, channels=1 -> 4)",
        "TensorProduct(max_degrees=1 x 3 -> 3, num_channels=4, pseudo=False)",
        "num_columns=5",
        "equivariant=True",
    ):
        assert setting in text
