"""Plans: made once and used again; what follows them can be compiled."""

import pytest
import torch
from helpers.energy_model import CUTOFF, EnergyModel
from helpers.systems import crystal, make_graph, mixed, molecule, skewed_crystal, slab


# The vacuum of a slab follows its atoms; the k-vectors of a plan do not.
@pytest.mark.parametrize(
    ("function", "tolerance"),
    [(crystal, 1e-12), (skewed_crystal, 1e-12), (molecule, 1e-12), (slab, 1e-6)],
)
def test_plan_is_used_again(model, function, tolerance):
    """Atoms have moved by less than the margin of the neighbor list."""
    structure = function()
    wide = make_graph([structure], CUTOFF + 0.5)
    plan = model.network.plan(wide)
    generator = torch.Generator().manual_seed(0)
    shifts = 0.2 * torch.rand(structure.positions.shape, generator=generator) - 0.1
    moved = structure._replace(positions=structure.positions + shifts)
    graph = make_graph([moved], CUTOFF)
    expected = model.network(graph)
    nodes = model.network.evaluate(wide._replace(positions=graph.positions), plan)
    for values, others in [
        (nodes.scalars, expected.scalars),
        (nodes.spherical, expected.spherical),
        ([nodes.potentials], [expected.potentials]),
    ]:
        for value, other in zip(values, others, strict=True):
            torch.testing.assert_close(value, other, rtol=tolerance, atol=tolerance)


def test_evaluation_is_one_graph():
    """No shape depends on data and nothing is read back from the device."""
    model = EnergyModel(num_message_passing=1)  # all there is
    graph = make_graph(mixed(), CUTOFF)
    plan = model.network.plan(graph)
    compiled = torch.compile(model.network.evaluate, backend="eager", fullgraph=True)
    expected = model.network(graph).scalars[-1]
    torch.testing.assert_close(compiled(graph, plan).scalars[-1], expected)
