"""Sums that would take all memory are refused before they begin."""

import time

import pytest
import torch

from metatrain_lorem.coulomb import CoulombSolver, coulomb_potentials
from metatrain_lorem.coulomb.estimate import ewald_numbers, mesh_numbers, plan_of_one


def plan(edge, num_atoms=8, smearing=1.25, cutoff=5.0, method="auto", scripted=False):
    solver = CoulombSolver(cutoff, smearing, method=method)
    positions = edge * torch.rand(num_atoms, 3, dtype=torch.float64)
    cell, pbc = edge * torch.eye(3).double(), torch.tensor([True] * 3)
    if scripted:
        solver = torch.jit.script(solver)
    return plan_of_one(solver, positions, cell, pbc, num_columns=10)


@pytest.mark.parametrize("scripted", [False, True])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"edge": 1000.0}, "8 atoms, lattice vectors about 1000, 1000 and 1000 long"),
        ({"edge": 5.6, "smearing": 1e-3}, "needs 398507599367 k-vectors and 133559 GiB"),
        ({"edge": 900.0, "method": "mesh"}, "needs a mesh of [0-9]+ points and [0-9]+ GiB"),
    ],
)
def test_refused_at_once(options, words, scripted):
    start = time.monotonic()
    with pytest.raises(Exception, match="system 0 .*" + words) as error:
        plan(**options, scripted=scripted)
    assert "make directions that hold nothing but vacuum open" in str(error.value)
    assert time.monotonic() - start < 10


def test_large_cubes_run():
    """The largest cubes of real use."""
    assert len(plan(100.0).ewald) == 1
    assert len(plan(300.0).ewald) == 1
    assert len(plan(430.0, num_atoms=10**6).mesh) == 1


@pytest.mark.parametrize(("edge", "method"), [(200.0, "ewald"), (80.0, "mesh")])
def test_memory_is_that_of_the_estimate(edge, method, monkeypatch):
    """Within a few percent: the limit, if it were that low, would be right."""
    result = plan(edge, method=method)
    if method == "ewald":
        numbers, name = ewald_numbers(result.ewald[0], 10), "check_ewald"
    else:
        numbers, name = mesh_numbers(result.mesh[0], 10), "check_mesh"
    from metatrain_lorem.coulomb import feasible

    check = getattr(feasible, name)
    for factor in (1.1, 0.9):
        limit = int(factor * 4 * numbers)
        monkeypatch.setattr(
            f"metatrain_lorem.coulomb.planner.{name}",
            lambda *arguments, limit=limit: check(*arguments, limit),
        )
        if factor > 1:
            plan(edge, method=method)
            continue
        with pytest.raises(ValueError, match="GiB for its long-range interactions"):
            plan(edge, method=method)


def test_collapsed_cell():
    """Before the neighbor list, which would take all memory."""
    positions = 1e-8 * torch.rand(8, 3, dtype=torch.float64)
    cell, pbc = 1e-8 * torch.eye(3).double(), torch.tensor([True] * 3)
    charges = torch.ones(8, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="about 9.1e.26 neighbors .* check the unit"):
        coulomb_potentials(positions, charges, cell, pbc, cutoff=3.0)


@pytest.mark.parametrize(("smearing", "fits"), [(2.5, True), (2.51, False), (100.0, False)])
def test_smearing_beyond_the_cutoff(smearing, fits):
    """The real-space sum would miss what it exists for."""
    if fits:
        CoulombSolver(5.0, smearing)
        return
    with pytest.raises(ValueError, match="`smearing` must be at most half of the cutoff"):
        CoulombSolver(5.0, smearing)
