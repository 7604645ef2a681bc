"""The long-range block against its formula, and the symmetry of what it exchanges."""

import pytest
import torch
from helpers.energy_model import CUTOFF, EnergyModel
from helpers.systems import STRUCTURES, make_graph, rotation, transformed
from helpers.wigner import wigner_matrix

from metatrain_lorem.coulomb import CoulombSolver, coulomb_potentials
from metatrain_lorem.network.spherical import degrees_of_components


ALL = [function() for function in STRUCTURES.values()]


@pytest.mark.parametrize("max_degree_lr", [0, 1, 2, 3])
def test_formula(max_degree_lr):
    """Charges from the features, potentials from the charges, and the way back."""
    network = EnergyModel(max_degree_lr=max_degree_lr).network
    nodes = network(make_graph(ALL, CUTOFF))
    block, scalars, spherical = network.long_range, nodes.scalars[0], nodes.spherical[0]

    num_columns = 1 + (max_degree_lr + 1) ** 2
    charges = torch.cat(
        [block.charges.scalar(scalars), block.charges.spherical(spherical)[:, :, 0]], 1
    )
    assert charges.shape[1] == num_columns
    torch.testing.assert_close(nodes.charges, charges, rtol=1e-12, atol=1e-12)

    counts = [len(structure.species) for structure in ALL]
    potentials = [
        coulomb_potentials(
            structure.positions,
            part,
            structure.cell,
            structure.pbc,
            cutoff=CUTOFF,
            accuracy=1e-6,
        )
        for structure, part in zip(ALL, charges.split(counts), strict=True)
    ]
    potentials = torch.cat(potentials)
    torch.testing.assert_close(nodes.potentials, potentials, rtol=1e-12, atol=1e-12)

    products = block.product(block.expand(potentials[:, 1:].unsqueeze(2)), spherical)
    torch.testing.assert_close(nodes.spherical[1], products, rtol=1e-12, atol=1e-12)
    norms = block.norms(products).flatten(1)
    updated = block.update(scalars, torch.cat([potentials[:, :1], norms], dim=1))
    torch.testing.assert_close(nodes.scalars[1], updated, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("num_message_passing", [0, 1])
def test_charges_and_potentials_are_tensors(num_message_passing):
    """Scalar columns stay, the components of each degree turn among themselves, and
    an inversion flips those of odd degree.
    """
    network = EnergyModel(num_message_passing=num_message_passing).network
    nodes = network(make_graph(ALL, CUTOFF))
    proper = rotation(7)
    for matrix, inverted in ((proper, False), (-proper, True)):
        turned = network(make_graph([transformed(s, matrix) for s in ALL], CUTOFF))
        components = wigner_matrix(proper, 2)
        if inverted:
            components = components * (-1.0) ** degrees_of_components(2)
        representation = torch.block_diag(torch.ones(1, 1).double(), components)
        for values, others in (
            (nodes.charges, turned.charges),
            (nodes.potentials, turned.potentials),
        ):
            size = float(values.detach().abs().max())
            torch.testing.assert_close(
                others, values @ representation.T, rtol=0, atol=1e-13 * size
            )


def test_without():
    """No charges, and a stage less."""
    network = EnergyModel(long_range=False).network
    nodes = network(make_graph(ALL, CUTOFF))
    assert nodes.charges.shape == nodes.potentials.shape == (len(nodes.scalars[0]), 0)
    assert len(nodes.scalars) == len(nodes.spherical) == 1


def test_default_solver():
    graph = make_graph(ALL, CUTOFF)
    default = EnergyModel()(graph)
    given = EnergyModel(solver=CoulombSolver(CUTOFF, accuracy=1e-6))(graph)
    other = EnergyModel(solver=CoulombSolver(CUTOFF, CUTOFF / 5, accuracy=1e-6))(graph)
    torch.testing.assert_close(default, given, rtol=0, atol=0)
    # Gaussian charges or others, it is the same interaction to the accuracy of its sums.
    assert 1e-12 < float((default - other).detach().abs().max()) < 1e-5


def test_interaction_beyond_the_cutoff():
    """A molecule out of reach changes forces only with long range."""
    for long_range in (False, True):
        model = EnergyModel(long_range=long_range)
        graph = make_graph([STRUCTURES["molecules"]()], CUTOFF)
        assert bool((graph.centers < 3).eq(graph.neighbors < 3).all())
        moved = graph.positions.clone()
        moved[3:] += torch.tensor([3.0, 4.0, 5.0])
        before = model.network(graph).scalars[-1][:3]
        after = model.network(graph._replace(positions=moved)).scalars[-1][:3]
        assert (float((before - after).detach().abs().max()) > 1e-3) == long_range
