"""Coulomb solvers side by side: time and memory of potentials and forces.

python coulomb.py [--jax-python PYTHON] [--largest N]

Rattled rock salt of 2.8 Angstrom, cutoff 5, smearing 1.25, random charges in 1 or 10
columns, double precision. Each measurement has a process of its own, limited to 8 GiB.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


CUTOFF, SMEARING, SPACING = 5.0, 1.25, 2.8
EDGES = (4, 6, 8, 10, 12, 16)  # atoms along an edge
LARGE_EDGES = (4, 8, 16, 24, 32, 46)
SOLVERS = ("ours ewald", "ours mesh", "torch-pme ewald", "torch-pme p3m", "jax-pme")
LIMIT = 8 * 2**30


def structure(edge: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, charges and cell."""
    random = np.random.RandomState(0)
    grid = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = SPACING * grid + 0.1 * random.normal(size=grid.shape)
    charges = random.normal(size=(len(grid), columns))
    return positions, charges, SPACING * edge * np.eye(3)


def measure(function, repeats: int) -> dict[str, float]:
    """Milliseconds of a call after the first, and MiB that it adds to the peak."""
    times = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    seconds = statistics.median(times[1:]) if repeats > 0 else times[0]
    return {"ms": 1e3 * seconds, "MiB": memory / 1024}


def torch_solver(name: str, edge: int, columns: int):
    """A function that computes potentials and forces, neighbors being known."""
    import torch

    from metatrain_lorem.coulomb import CoulombSolver, Pairs
    from metatrain_lorem.coulomb.neighbors import neighbor_list

    positions, charges, cell = (torch.tensor(x) for x in structure(edge, columns))
    pbc = torch.tensor([True] * 3)
    i, j, shifts = neighbor_list(positions, cell, pbc, CUTOFF)
    positions.requires_grad_(True)
    offsets = shifts.double() @ cell

    def distances():
        return torch.linalg.vector_norm(positions[j] - positions[i] + offsets, dim=1)

    if name.startswith("ours"):
        solver = CoulombSolver(CUTOFF, SMEARING, method=name.split()[1])
        zeros = torch.zeros(len(positions), dtype=torch.int64)

        def potentials():
            pairs = Pairs(i, j.unsqueeze(1), distances().unsqueeze(1))
            return solver(positions, charges, cell[None], pbc[None], zeros, pairs)

    else:
        import torchpme

        potential = torchpme.CoulombPotential(SMEARING)
        kind = {"ewald": torchpme.EwaldCalculator, "p3m": torchpme.P3MCalculator}
        options = {"ewald": {"lr_wavelength": CUTOFF / 8}, "p3m": {"mesh_spacing": 0.625}}
        kind, options = kind[name.split()[1]], options[name.split()[1]]
        calculator = kind(potential, full_neighbor_list=True, **options)
        calculator = calculator.to(torch.float64)
        pairs = torch.stack([i, j], 1)

        def potentials():
            return calculator(charges, cell, positions, pairs, distances())

    return lambda: torch.autograd.grad((potentials() * charges).sum(), positions)


def jax_solver(edge: int, columns: int):
    """The same with jax-pme, in an interpreter that has it."""
    import jax
    import jaxpme
    from ase import Atoms

    jax.config.update("jax_enable_x64", True)
    positions, charges, cell = structure(edge, columns)
    atoms = Atoms(positions=positions, cell=cell, pbc=True)
    calculator = jaxpme.Ewald(full_neighbor_list=True)
    prepared = calculator.prepare(
        atoms, charges[:, 0], CUTOFF, lr_wavelength=CUTOFF / 8, smearing=SMEARING
    )
    positions, charges, cell = (jax.numpy.array(x) for x in (positions, charges, cell))
    rest = [*(jax.numpy.array(x) for x in prepared[3:7]), *prepared[7:]]

    @jax.jit
    def forces(x):
        def energy(x):
            solve = jax.vmap(
                lambda q: calculator.potentials(q, cell, x, *rest), in_axes=1, out_axes=1
            )
            return (solve(charges) * charges).sum()

        return jax.grad(energy)(x)

    return lambda: jax.block_until_ready(forces(positions))


def child(name: str, edge: int, columns: int, repeats: int) -> None:
    """One measurement: prints a line of JSON."""
    if name == "jax-pme":
        function = jax_solver(edge, columns)
    else:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
        function = torch_solver(name, edge, columns)
    print(json.dumps(measure(function, repeats)))


def spawn(python: str, name: str, edge: int, columns: int) -> dict[str, float] | None:
    """A measurement in a process of its own; nothing if it fails or takes minutes."""
    repeats = 5 if edge <= 8 else 2 if edge <= 16 else 0
    arguments = [python, __file__, "--child", name, str(edge), str(columns), str(repeats)]
    try:
        result = subprocess.run(arguments, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        return None
    if result.returncode != 0:
        print(f"{name}, {edge**3} atoms: {result.stderr.splitlines()[-1:]}")
        return None
    return json.loads(result.stdout.splitlines()[-1])


def exponent(rows: list[dict], key: str) -> float:
    """Slope of a line through the logarithms, where a mesh is used."""
    rows = [row for row in rows if row["atoms"] > 4000]
    x = [math.log(row["atoms"]) for row in rows]
    return float(np.polyfit(x, [math.log(row[key]) for row in rows], 1)[0])


def main() -> None:
    """Run all measurements, print a table, write ``results/coulomb.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jax-python", help="interpreter that has jax-pme")
    parser.add_argument("--largest", type=int, default=97336, help="most atoms")
    options = parser.parse_args()
    rows: list[dict] = []

    def run(name: str, edge: int, columns: int) -> bool:
        python = options.jax_python if name == "jax-pme" else sys.executable
        result = spawn(python, name, edge, columns)
        if result is not None:
            rows.append({"solver": name, "atoms": edge**3, "columns": columns, **result})
            print("{solver:16s} {atoms:6d} {columns:3d} {ms:10.1f} ms {MiB:8.0f} MiB"
                  .format(**rows[-1]), flush=True)  # fmt: skip
        return result is not None

    for columns in (1, 10):
        for name in SOLVERS:
            if name == "jax-pme" and options.jax_python is None:
                continue
            for edge in EDGES:
                if edge**3 > options.largest or not run(name, edge, columns):
                    break
    for edge in LARGE_EDGES:
        if edge**3 > options.largest or not run("ours auto", edge, 10):
            break
    scaling = [row for row in rows if row["solver"] == "ours auto"]
    for key in ("ms", "MiB"):
        rows.append({"solver": "ours auto", f"exponent of {key}": exponent(scaling, key)})
        print(rows[-1])

    from measure import write_results

    write_results("coulomb", "cpu", rows)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    if len(sys.argv) > 1 and sys.argv[1] == "--child":
        child(sys.argv[2], *[int(value) for value in sys.argv[3:]])
    else:
        main()
