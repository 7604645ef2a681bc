"""The Coulomb solver stays within 4 GiB, forces included."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


pytestmark = pytest.mark.slow

# The peak memory of a process never falls: smaller bounds come first.
SCRIPT = """
import json, resource, sys
import torch
from helpers.coulomb_cases import Charged, graph_of, solve_graph
from metatrain_lorem.coulomb import CoulombSolver

def box(num_atoms, length, periodic=True):
    return Charged(
        length * torch.rand(num_atoms, 3, dtype=torch.float64),
        torch.randn(num_atoms, 10, dtype=torch.float64),
        length * torch.eye(3, dtype=torch.float64),
        torch.tensor([periodic] * 3),
    )

def peak(case, solver):
    if case == "cube":
        systems = [box(100, 100.0)]
    elif "cluster" in case:
        systems = [box(20_000 if case == "large cluster" else 6_000, 60.0, False)]
    else:
        systems = [
            box(10 + 37 * i % 300, 6.0 + 7 * i % 30, i % 4 > 0) for i in range(64)
        ]
    charges = torch.cat([system.charges for system in systems]).float()
    if "cluster" in case:
        charges = charges[:, :1]
    graph = graph_of(systems, torch.float32)
    positions = graph.positions.requires_grad_(True)
    potentials = solve_graph(solver, graph, charges)
    torch.autograd.grad((potentials * charges).sum(), positions)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

eager = CoulombSolver(5.0)
scripted = torch.jit.script(eager)
cases = json.loads(sys.argv[1])
print(json.dumps([[case, peak(case, s)] for case in cases for s in (eager, scripted)]))
"""
BOUNDS = {"cluster": 0.8, "large cluster": 4, "cube": 4, "batch": 4}  # GiB


@pytest.mark.skipif(sys.platform != "linux", reason="needs the peak memory of Linux")
@pytest.mark.parametrize(
    "cases",
    [
        ["cluster", "cube", "batch"],
        pytest.param(["large cluster"], marks=pytest.mark.soak),
    ],
    ids=" ".join,
)
def test_memory(cases):
    """Eager and scripted; pairs of a scripted model grow with the square."""
    arguments = [sys.executable, "-c", SCRIPT, json.dumps(cases)]
    result = subprocess.run(
        arguments, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    peaks = json.loads(result.stdout.splitlines()[-1])
    assert len(peaks) == 2 * len(cases)
    for case, peak in peaks:
        assert peak < BOUNDS[case] * 2**30, case
