"""The Coulomb solver stays within 4 GiB, forces included."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


pytestmark = pytest.mark.slow

# Peak memory of a process is known only at its end: one process for each case.
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

case, scripted = json.loads(sys.argv[1])
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
solver = CoulombSolver(5.0)
if scripted:
    solver = torch.jit.script(solver)
positions = graph.positions.requires_grad_(True)
potentials = solve_graph(solver, graph, charges)
torch.autograd.grad((potentials * charges).sum(), positions)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the peak memory of Linux")
@pytest.mark.parametrize("scripted", [False, True])
@pytest.mark.parametrize(
    ("case", "bound"),  # in GiB; pairs of a scripted model grow with the square
    [
        ("cube", 4),
        ("cluster", 0.8),
        pytest.param("large cluster", 4, marks=pytest.mark.soak),
        ("batch", 4),
    ],
)
def test_memory(case, bound, scripted):
    arguments = [sys.executable, "-c", SCRIPT, json.dumps([case, scripted])]
    result = subprocess.run(
        arguments, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert int(result.stdout.split()[-1]) < bound * 2**30
