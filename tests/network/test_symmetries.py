"""The network is blind to what physics does not see."""

import itertools

import pytest
import torch
from helpers.energy_model import CUTOFF, Results, assert_equal, results_of
from helpers.systems import (
    STRUCTURES,
    charged_crystal,
    distant_atoms,
    lone_ion,
    make_graph,
    permuted,
    repeated,
    rotation,
    shifted,
    single_atom,
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


def test_structures_are_what_they_say(model):
    """Tests of symmetry mean nothing if there is nothing to see."""
    for name in ("crystal", "skewed_crystal", "charged_crystal", "slab", "molecule"):
        results = results_of(model, STRUCTURES[name]())
        assert float(results.forces.abs().max()) > 0.01
        assert float(results.virials.abs().max()) > 0.01
    charges = model.network(make_graph([charged_crystal()], CUTOFF)).charges[:, 0]
    torch.testing.assert_close(charges.sum().abs(), charges.abs().sum())
    assert float(charges.detach().abs().min()) > 0.05
    for function in (single_atom, lone_ion, distant_atoms):
        assert len(make_graph([function()], CUTOFF).centers) == 0


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
