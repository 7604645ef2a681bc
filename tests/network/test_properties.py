"""Random systems, also odd ones: symmetries hold, and nothing is NaN.

1 to 60 atoms in any periodicity that is allowed, skewed cells, atoms at the same place,
far away, and many cells away.
"""

from typing import NamedTuple

import pytest
import torch
from helpers.energy_model import CUTOFF, EnergyModel, Results, evaluate, results_of
from helpers.systems import (
    Structure,
    make_graph,
    make_structure,
    permuted,
    rotation,
    shifted,
    transformed,
    translated,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


PERIODIC = [(False,) * 3, (True,) * 3, (True, True, False), (False, True, True)]
quick = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
thorough = settings(quick, max_examples=400)


class Case(NamedTuple):
    structure: Structure
    kind: str


@st.composite
def cases(draw: st.DrawFn) -> Case:
    number = draw(st.integers(1, 60))
    pbc = draw(st.sampled_from(PERIODIC))
    seed = draw(st.integers(0, 10**6))
    kind = draw(st.sampled_from(["plain", "same place", "far", "cells away", "close"]))
    skew = draw(st.floats(0.0, 1.0))
    generator = torch.Generator().manual_seed(seed)
    edge = (8.0 * number + 20.0) ** (1 / 3)
    noise = torch.rand(3, 3, generator=generator).double() - 0.5
    cell = edge * (torch.eye(3).double() + skew * noise)
    fractions = torch.rand(number, 3, generator=generator).double()
    positions = fractions @ cell
    if kind in ("same place", "close") and number > 1:
        shift = 0.0 if kind == "same place" else 0.05
        positions[1] = positions[0] + shift
    if kind == "far":  # along open directions, cells away along periodic ones
        positions[0] += 300.0 * cell.sum(0)
    if kind == "cells away":
        lattice = cell * torch.tensor(pbc).unsqueeze(1)
        whole = torch.randint(-99, 100, (number, 3), generator=generator).double()
        positions = positions + whole @ lattice
    species = torch.randint(0, 4, (number,), generator=generator)
    species = torch.tensor([1, 8, 11, 17])[species].tolist()
    return Case(make_structure(species, positions, cell.tolist(), pbc), kind)


def assert_same(results: Results, expected: Results, tolerance: float) -> None:
    for value, other in zip(results, expected):
        size = 1.0 + float(other.abs().max())
        torch.testing.assert_close(value, other, rtol=0, atol=tolerance * size)


def check_case(model: EnergyModel, case: Case) -> None:
    structure = case.structure
    # Rounding errors grow with the distance from the origin, and where potentials are 1e6
    # times those of other atoms.
    tolerance = 1e-7 if case.kind in ("far", "same place") else 1e-9
    results = results_of(model, structure)
    for name, values in results._asdict().items():
        assert bool(torch.isfinite(values).all()), name
    matrix = -rotation(1)
    turned = Results(
        results.energies, results.forces @ matrix.T, matrix @ results.virials @ matrix.T
    )
    assert_same(results_of(model, transformed(structure, matrix)), turned, tolerance)
    assert_same(
        results_of(model, translated(structure, [3.0, -2.0, 0.5])), results, tolerance
    )
    if case.kind != "same place":  # their distance would not be zero any more, but 1e-15
        assert_same(results_of(model, shifted(structure)), results, tolerance)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(structure.species), generator=generator)
    expected = results._replace(forces=results.forces[order])
    assert_same(results_of(model, permuted(structure, order)), expected, tolerance)
    check_second_derivatives(model, structure)


def check_second_derivatives(model: EnergyModel, structure: Structure) -> None:
    """Those that training takes: of forces and virials, by the parameters."""
    graph = make_graph([structure], CUTOFF)
    results = evaluate(model, graph, create_graph=True)
    loss = sum(values.pow(2).sum() for values in results)
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for gradient in gradients:
        assert gradient is None or bool(torch.isfinite(gradient).all())


@quick
@given(case=cases())
def test_random_systems(case):
    check_case(EnergyModel(num_message_passing=1), case)  # all there is


@pytest.mark.slow
@pytest.mark.soak
@thorough
@given(case=cases())
def test_many_random_systems(model, case):
    check_case(model, case)
