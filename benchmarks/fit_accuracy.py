"""Fit of the constants that errors of Coulomb sums are estimated with.

python fit_accuracy.py

Measures errors against over-converged sums, for perfect, rattled and random structures, and
divides them by the formulas without their constants. The largest ratios are lower bounds of

* ``safety`` of ``reciprocal_error`` and ``real_space_error`` (``coulomb/truncation.py``),
* the factors of ``mesh_spacing`` (``coulomb/mesh_size.py``), which ``coulomb/splitting.py``
  has.

Prints a table and writes ``results/fit_accuracy_cpu.json``.
"""

import math
from collections.abc import Callable, Iterator

import torch
from measure import write_results

from metatrain_lorem.coulomb import CoulombSolver, coulomb_potentials
from metatrain_lorem.coulomb.cells import Cells, inverses_and_volumes
from metatrain_lorem.coulomb.periodicity import checked_lattices
from metatrain_lorem.coulomb.truncation import (
    SAFETY,
    real_space_error,
    reciprocal_error,
)
from metatrain_lorem.coulomb.windows import cosine_window


CUTOFF = 5.0
ACCURACIES = [10 ** (-0.5 * n) for n in range(6, 16)]
FCC = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
CRYSTALS = {  # cell, and charge and fractional coordinates of each ion
    "cesium chloride": (
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0, 0], [-1, *[0.5] * 3]],
    ),
    "rock salt": (FCC, [[1, 0, 0, 0], [-1, *[0.5] * 3]]),
    "zincblende": (FCC, [[1, 0, 0, 0], [-1, *[0.25] * 3]]),
    "fluorite": (FCC, [[2, 0, 0, 0], [-1, *[0.25] * 3], [-1, *[0.75] * 3]]),
}
CELLS = {
    "cubic": [[7.0, 0.0, 0.0], [0.0, 7.0, 0.0], [0.0, 0.0, 7.0]],
    "skewed": [[6.0, 1.0, -2.0], [2.5, 7.0, 0.5], [-1.0, 3.0, 8.0]],
    "plate": [[12.0, 0.0, 0.0], [1.0, 12.0, 0.0], [0.0, 1.0, 4.0]],
}
PBC = torch.tensor([True, True, True])
System = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # positions, charges, cell
Potentials = Callable[[torch.Tensor], torch.Tensor]


def systems() -> Iterator[tuple[str, System]]:
    """Crystals of 2.6 between atoms, perfect and rattled; random charges in three cells."""
    generator = torch.Generator().manual_seed(0)
    for name, (vectors, sites) in CRYSTALS.items():
        charges, fractions = torch.tensor(sites, dtype=torch.float64).split([1, 3], 1)
        cell = torch.tensor(vectors, dtype=torch.float64)
        cell *= 2.6 * (len(sites) / float(torch.linalg.det(cell).abs())) ** (1 / 3)
        for repeats, rattle in [(1, 0.0), (2, 0.0), (2, 0.1)]:
            shifts = torch.cartesian_prod(*[torch.arange(repeats)] * 3)
            positions = ((fractions + shifts.unsqueeze(1)) @ cell).reshape(-1, 3)
            noise = torch.randn(positions.shape, generator=generator).double()
            structure = positions + rattle * noise, charges.repeat(repeats**3, 1)
            yield f"{name}, {repeats}, {rattle}", (*structure, repeats * cell)
    for name, vectors in CELLS.items():
        cell = torch.tensor(vectors, dtype=torch.float64)
        for num_atoms in (10, 50, 200):
            fractions = torch.rand(num_atoms, 3, generator=generator).double()
            charges = torch.randn(num_atoms, 1, generator=generator).double()
            yield f"{name}, {num_atoms}", (fractions @ cell, charges, cell)
            yield f"{name}, {num_atoms}, +", (fractions @ cell, charges.abs(), cell)


def spacing_of(system: System) -> float:
    """Distance between atoms ``d``."""
    return float(torch.linalg.det(system[2]).abs() / len(system[0])) ** (1 / 3)


def error(system: System, approximate: Potentials, exact: Potentials) -> float:
    """The error of ``coulomb/truncation.py``, of potentials with the factor 1/2."""
    positions, charges, _ = system
    results = []
    for potentials in (approximate, exact):
        x = positions.clone().requires_grad_()
        values = potentials(x)
        (gradient,) = torch.autograd.grad((values * charges).sum(), x)
        results.append((values.detach(), gradient))
    charge, spacing = charges.square().mean().sqrt(), spacing_of(system)
    units = charge / (2 * spacing), (charge / spacing) ** 2
    return max(
        float((a - b).square().sum(1).mean().sqrt() / unit)
        for a, b, unit in zip(*results, units, strict=True)
    )


def reciprocal_part(system: System, smearing: float | None, accuracy: float, method: str):
    """A function of positions, and the error that is expected without constants."""
    positions, charges, cell = system
    zeros = torch.zeros(len(positions), dtype=torch.int64)
    solver = CoulombSolver(CUTOFF, smearing, accuracy, method=method)
    solver.planner.length_scale.is_free = False  # no sums over all pairs
    lattices = checked_lattices(positions, cell[None], PBC[None], zeros, 3.0)
    plan = solver.planner(lattices, PBC[None], zeros, 1)
    spacing, split = spacing_of(system), solver.split
    if method == "mesh":
        steps = torch.linalg.vector_norm(cell, dim=1) / torch.tensor(plan.mesh[0].shape)
        r = spacing / split.smearing
        expected = r * (1 + 0.5 * r) * float(steps.max() / split.smearing) ** 11
    elif smearing is None:
        largest = cosine_window(accuracy).error / SAFETY  # for a spacing of the cutoff
        expected = largest * math.sqrt(spacing / CUTOFF)
    else:
        (radius,) = solver.planner.kvectors.radii(lattices)
        expected = reciprocal_error(radius * smearing, spacing / smearing, safety=1.0)
    cells = Cells(cell[None], *inverses_and_volumes(cell[None]))
    return lambda x: 0.5 * solver.beyond_cutoff(x, charges, cells, plan), expected


def widest_smearing(volume: float, cutoff: float, accuracy: float) -> float:
    """Width of Gaussian charges whose real-space sum has the wanted accuracy.

    :param volume: volume per atom
    :param cutoff: radius of the real-space sum
    :param accuracy: wanted :func:`real_space_error`
    :return: width in the unit of ``cutoff``
    """
    spacing = volume ** (1 / 3) / cutoff
    y = math.sqrt(-2 * math.log(accuracy))
    for _ in range(4):
        prefactor = real_space_error(y, spacing) * math.exp(0.5 * y * y)
        y = math.sqrt(max(2 * math.log(prefactor / accuracy), 1.0))
    return cutoff / y


def real_space_part(system: System, accuracy: float):
    """The same for the real-space part, with a converged reciprocal one."""
    _, charges, cell = system
    spacing = spacing_of(system)
    smearing = widest_smearing(spacing**3, CUTOFF, accuracy)
    expected = real_space_error(CUTOFF / smearing, spacing / CUTOFF, safety=1.0)

    def potentials(x: torch.Tensor, smearing: float = smearing) -> torch.Tensor:
        return coulomb_potentials(
            *(x, charges, cell, PBC), cutoff=CUTOFF, smearing=smearing, accuracy=1e-12
        )

    return potentials, lambda x: potentials(x, 0.6), expected


def compact_parts(system: System, accuracy: float) -> dict[str, float]:
    """Ratios for charges of finite extent, whose only error is that of k-vectors."""
    positions, charges, cell = system

    def potentials(x: torch.Tensor, accuracy: float) -> torch.Tensor:
        return coulomb_potentials(x, charges, cell, PBC, cutoff=CUTOFF, accuracy=accuracy)

    whole = error(system, lambda x: potentials(x, accuracy), lambda x: potentials(x, 1e-13))
    waves, expected = reciprocal_part(system, None, accuracy, "ewald")
    mesh, expected_of_mesh = reciprocal_part(system, None, accuracy, "mesh")
    return {
        "compact": whole / expected,
        "compact, of accuracy": whole / accuracy,
        "compact, mesh": error(system, mesh, waves) / expected_of_mesh,
    }


def main() -> None:
    """Ratios of measured errors to the formulas."""
    rows = []
    for name, system in systems():
        for accuracy in ACCURACIES:
            row = {"system": name, "accuracy": accuracy}
            ratios = {"ewald": 0.0, "mesh": 0.0}
            for smearing in (0.8, 1.25):
                exact, _ = reciprocal_part(system, smearing, 1e-12, "ewald")
                for method in ratios:
                    sums, expected = reciprocal_part(system, smearing, accuracy, method)
                    ratio = error(system, sums, exact) / expected
                    ratios[method] = max(ratios[method], ratio)
            sums, exact, expected = real_space_part(system, accuracy)
            ratios["real space"] = error(system, sums, exact) / expected
            rows.append({**row, **ratios, **compact_parts(system, accuracy)})
    worst = {part: max(rows, key=lambda row: row[part]) for part in list(rows[0])[2:]}
    for part, row in worst.items():
        print(f"{part:20s} {row[part]:.2e}  {row['system']}, {row['accuracy']:g}")
    rows.append({f"largest, {part}": row[part] for part, row in worst.items()})
    write_results("fit_accuracy_cpu", "cpu", rows)


if __name__ == "__main__":
    main()
