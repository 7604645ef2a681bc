"""Fit of the times by which a solver chooses between Ewald sums and a mesh.

OMP_NUM_THREADS=1 python fit_methods.py

Processor time of potentials and forces of rattled rock salt of 2.8 Angstrom, smearing 1.25,
without the real-space part. With ``A`` the number of atoms times that of k-vectors in their
box, ``M`` that of mesh points in blocks, and ``C`` that of columns,

    time of an Ewald sum ~ A (offset + C),    time on a mesh ~ ratio * M C

are fitted to relative errors. ``offset`` and ``ratio`` are the constants of
``mesh_is_faster`` (``coulomb/planner.py``). Writes ``results/fit_methods_cpu.json``.
"""

import math
import time

import numpy as np
import torch
from measure import write_results

from metatrain_lorem.coulomb import CoulombSolver
from metatrain_lorem.coulomb.cells import Cells, inverses_and_volumes
from metatrain_lorem.coulomb.mesh_size import num_points
from metatrain_lorem.coulomb.planner import box_sizes


EDGES = (10, 12, 14, 16)  # atoms along an edge
COLUMNS = (1, 4, 10)
REPEATS = 5


def measure(edge: int, columns: int, method: str) -> dict[str, float]:
    """Size and milliseconds of one sum."""
    generator = torch.Generator().manual_seed(0)
    grid = 2.8 * torch.cartesian_prod(*[torch.arange(edge)] * 3).double()
    positions = grid + 0.1 * torch.randn(grid.shape, generator=generator).double()
    charges = torch.randn(len(grid), columns, generator=generator).double()
    cells, pbc = 2.8 * edge * torch.eye(3).double()[None], torch.tensor([[True] * 3])
    zeros = torch.zeros(len(grid), dtype=torch.int64)
    solver = CoulombSolver(5.0, 1.25, method=method)
    plan = solver.plan(positions, cells, pbc, zeros, columns)
    positions.requires_grad_()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        closed = Cells(cells, *inverses_and_volumes(cells))
        potentials = solver.beyond_cutoff(positions, charges, closed, plan)
        torch.autograd.grad((potentials * charges).sum(), positions)
        times.append(time.process_time() - start)
    if method == "mesh":
        size = num_points(plan.mesh[0].shape)
    else:
        (largest,) = solver.planner.kvectors.largest(plan.lattices)
        size = edge**3 * math.prod(box_sizes(largest))
    row = {"atoms": edge**3, "columns": columns, "method": method, "size": size}
    return {**row, "ms": 1e3 * min(times)}


def fit(rows: list[dict[str, float]]) -> dict[str, float]:
    """Constants from the times of both methods."""

    def columns_of(method: str, *keys: str) -> list[np.ndarray]:
        chosen = [row for row in rows if row["method"] == method]
        return [np.array([row[key] for row in chosen]) for key in keys]

    size, columns, ms = columns_of("ewald", "size", "columns", "ms")
    matrix = np.stack([size, size * columns], 1) / ms[:, None]
    constant, ewald = np.linalg.lstsq(matrix, np.ones(len(ms)), rcond=None)[0]
    size, columns, ms = columns_of("mesh", "size", "columns", "ms")
    relative = size * columns / ms
    mesh = relative.sum() / (relative * relative).sum()
    return {"offset": float(constant / ewald), "ratio": float(mesh / ewald)}


def main() -> None:
    """Measure all sizes with both methods, and fit."""
    rows = []
    for edge in EDGES:
        for columns in COLUMNS:
            for method in ("ewald", "mesh"):
                rows.append(measure(edge, columns, method))
                print(rows[-1], flush=True)
    rows.append(fit(rows))
    print(rows[-1])
    write_results("fit_methods_cpu", "cpu", rows)


if __name__ == "__main__":
    main()
