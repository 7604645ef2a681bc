"""Systems much larger than the cutoff, and dense ones: time of energies and forces.

    OMP_NUM_THREADS=1 python sparse.py [--before SRC]

Processor time with the plan, neighbors being known: of the Coulomb solver alone (double
precision, 10 columns of charges) and of the default model in float32. ``SRC`` is the folder
of sources of another version: both take turns, each in processes of their own, and the
least time of each counts. Also measured are the times behind the constants of
``coulomb/sparse.py``. Writes ``results/sparse_cpu.json``.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from measure import EnergyModel, energy_and_forces, make_graph, write_results
from structures import aluminium_slab, crystal, water_box

from metatrain_lorem.coulomb import CoulombSolver, Pairs
from metatrain_lorem.ops.safe_norm import safe_norm


CUTOFF, COLUMNS, TURNS = 5.0, 10, 2


def gas(num_atoms: int, edge: float) -> Atoms:
    """Atoms at random positions in a cube."""
    scaled = np.random.RandomState(0).rand(num_atoms, 3)
    return Atoms("O" * num_atoms, scaled_positions=scaled, cell=edge * np.eye(3), pbc=True)


def waters(number: int, edge: float) -> Atoms:
    """Molecules at random positions in a cube."""
    random = np.random.RandomState(0)
    atoms = Atoms(cell=edge * np.eye(3), pbc=True)
    for _ in range(number):
        water = molecule("H2O")
        water.rotate(360 * random.rand(), random.randn(3))
        water.translate(edge * random.rand(3))
        atoms += water
    return atoms


CASES: dict[str, Callable[[], Atoms]] = {
    "1 water, 15 A": lambda: waters(1, 15.0),
    "20 water, 30 A": lambda: waters(20, 30.0),
    "100 atoms, 100 A": lambda: gas(100, 100.0),
    "1 water, 1000 A": lambda: waters(1, 1000.0),
    "500 atoms, 60 A": lambda: gas(500, 60.0),
    "2000 atoms, 100 A": lambda: gas(2000, 100.0),
    "Al slab, 216 atoms": aluminium_slab,
    "64 rock salt": lambda: crystal(64, "NaCl cubic", 2.8),
    "64 NaCl, unit lattice": lambda: crystal(64, "NaCl cubic"),
    "512 rock salt": lambda: crystal(512, "NaCl cubic", 2.8),
    "192 water, 12.4 A": water_box,
    "4096 rock salt": lambda: crystal(4096, "NaCl cubic", 2.8),
}


def least_time(function: Callable[[], Any], seconds: float = 1.0) -> float:
    """Milliseconds of processor time of a call after the first."""
    function()
    times: list[float] = []
    while len(times) < 2 or (sum(times) < seconds and len(times) < 50):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def solver_time(atoms: Atoms) -> float:
    """Potentials and forces of random charges."""
    graph = make_graph(atoms, CUTOFF, "cpu", torch.float64)
    generator = torch.Generator().manual_seed(0)
    shape = [len(atoms), COLUMNS]
    charges = torch.randn(shape, generator=generator, dtype=torch.float64)
    solver = CoulombSolver(CUTOFF)
    positions = graph.positions.requires_grad_()
    shifts = graph.cell_shifts.double() @ graph.cells[0]
    centers, neighbors = graph.centers, graph.neighbors.unsqueeze(1)

    def run() -> torch.Tensor:
        vectors = positions[graph.neighbors] - positions[centers] + shifts
        pairs = Pairs(centers, neighbors, safe_norm(vectors).unsqueeze(1))
        others = (graph.cells, graph.pbc, graph.systems, pairs)
        potentials = solver(positions, charges, *others)
        return torch.autograd.grad((potentials * charges).sum(), positions)[0]

    return least_time(run)


def model_time(atoms: Atoms) -> float:
    """Energy and forces of the default model."""
    model = EnergyModel(cutoff=CUTOFF)
    graph = make_graph(atoms, CUTOFF, "cpu", torch.float32)
    return least_time(lambda: energy_and_forces(model, graph))


def child(case: str) -> None:
    """Print the times of a case as JSON."""
    atoms = CASES[case]()
    print(json.dumps({"solver": solver_time(atoms), "model": model_time(atoms)}))


def times_of(sources: Path, case: str) -> dict[str, float]:
    """A process with the sources of some version; nothing if it refuses."""
    arguments = [sys.executable, __file__, "--child", case]
    environment = {**os.environ, "PYTHONPATH": str(sources)}
    result = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        print(f"{case}, {sources}: {result.stderr.splitlines()[-1]}")
        return {}
    return json.loads(result.stdout.splitlines()[-1])


def measure_case(case: str, versions: dict[str, Path]) -> dict[str, Any]:
    """The least times of all versions, in turns."""
    row: dict[str, Any] = {"case": case}
    for _ in range(TURNS):
        for name, sources in versions.items():
            for what, ms in times_of(sources, case).items():
                key = f"{what}{name}, ms"
                row[key] = min(ms, row.get(key, ms))
    return row


def constants(num_atoms: int) -> dict[str, Any]:
    """Times of a pair, and of a wave of an atom for a column, in nanoseconds."""
    # Here, as the version before may not have them
    from metatrain_lorem.coulomb.cells import Cells, inverses_and_volumes

    solver, lattice = CoulombSolver(CUTOFF), 30 * torch.eye(3, dtype=torch.float64)[None]
    cells = Cells(lattice, *inverses_and_volumes(lattice))
    solver.planner.length_scale.is_free = False
    generator = torch.Generator().manual_seed(0)
    positions = 30 * torch.rand(num_atoms, 3, generator=generator).double()
    charges = torch.randn(num_atoms, COLUMNS, generator=generator).double()
    zeros, pbc = torch.zeros(num_atoms, dtype=torch.int64), torch.ones(1, 3) > 0
    plan = solver.plan(positions, lattice, pbc, zeros, COLUMNS)
    kvectors = plan.ewald[0].kvectors
    num_k = int((kvectors.last - kvectors.first + 1).clamp(min=0).sum())
    positions.requires_grad_()

    def forces(potentials: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad((potentials * charges).sum(), positions)[0]

    pairs = least_time(
        lambda: forces(solver.nearest_images(positions[None], charges[None], cells)[0])
    )
    waves = least_time(
        lambda: forces(solver.beyond_cutoff(positions, charges, cells, plan))
    )
    wave = 1e6 * waves / (num_atoms * num_k * (2.6 + COLUMNS))
    return {"atoms": num_atoms, "pair, ns": 1e6 * pairs / num_atoms**2, "wave, ns": wave}


def main() -> None:
    """All cases with all versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="sources of another version")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.child)
        return
    versions = {"": Path(__file__).resolve().parents[1] / "src"}
    if options.before is not None:
        versions[" before"] = options.before
    rows = [constants(num_atoms) for num_atoms in (10, 100, 1000)]
    for row in rows:
        print(row)
    for case in CASES:
        rows.append(measure_case(case, versions))
        print(rows[-1], flush=True)
    write_results("sparse_cpu", "cpu", rows)


if __name__ == "__main__":
    main()
