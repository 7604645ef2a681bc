"""Structures with charges for the tests of the Coulomb solver."""

import math
from typing import NamedTuple

import torch
from helpers import systems

from metatrain_lorem.coulomb import Pairs
from metatrain_lorem.coulomb.neighbors import neighbor_list
from metatrain_lorem.graph import Graph, gather_neighborhoods, neighbor_vectors
from metatrain_lorem.ops.safe_norm import safe_norm


CUTOFF = 5.0  # of all sums


class Charged(NamedTuple):
    """One system with ``C`` columns of charges."""

    positions: torch.Tensor  # [N, 3]
    charges: torch.Tensor  # [N, C]
    cell: torch.Tensor  # [3, 3]
    pbc: torch.Tensor  # [3] bool


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


_THIRD = 1 / math.sqrt(3)
_C = math.sqrt(8 / 3)
_FCC = [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
_SQUARE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
_CORNERS = [[i, j, k] for i in range(2) for j in range(2) for k in range(2)]

# Crystals of the literature, after the list in torch-pme's tests: positions, charges,
# cell, number of formula units, and minus the energy of one unit, which is the Madelung
# constant per unit of length. torch-pme's CsCl (2.0353610945) lacks a digit, and its
# wurtzite has six: both are from Sakamoto, J. Chem. Phys. 28, 164 (1958).
CRYSTALS = {
    "CsCl": ([[0, 0, 0], [0.5] * 3], [-1, 1], _SQUARE, 1, 2.0353615094526),
    "NaCl primitive": ([[0, 0, 0], [1, 0, 0]], [1, -1], _FCC, 1, 1.7475645946332),
    "NaCl cubic": (
        _CORNERS,
        [(-1) ** sum(n) for n in _CORNERS],
        [[2, 0, 0], [0, 2, 0], [0, 0, 2]],
        4,
        1.7475645946332,
    ),
    "zincblende": ([[0] * 3, [0.5] * 3], [1, -1], _FCC, 1, 2 * _THIRD * 1.63805505338879),
    "wurtzite": (
        [
            [0.5, 0.5 * _THIRD, 0.0],
            [0.5, 0.5 * _THIRD, 0.375 * _C],
            [0.5, -0.5 * _THIRD, 0.5 * _C],
            [0.5, -0.5 * _THIRD, 0.875 * _C],
        ],
        [1, -1, 1, -1],
        [[0.5, -1.5 * _THIRD, 0], [0.5, 1.5 * _THIRD, 0], [0, 0, _C]],
        2,
        1.641321627372 / (0.375 * _C),
    ),
    "fluorite": (
        [[0.25] * 3, [0.75] * 3, [0] * 3],
        [-1, -1, 2],
        [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
        1,
        11.6365752270768,
    ),
    "Cu2O": (
        [
            [0] * 3,
            [0.5] * 3,
            [0.25, 0.25, 0.25],
            [0.25, 0.75, 0.75],
            [0.75, 0.25, 0.75],
            [0.75, 0.75, 0.25],
        ],
        [-2, -2, 1, 1, 1, 1],
        _SQUARE,
        2,
        10.2594570330750,
    ),
}


def crystal(name: str) -> tuple[Charged, float]:
    """A crystal of the literature, and its energy."""
    positions, charges, cell, num_units, madelung = CRYSTALS[name]
    periodic = torch.tensor([True] * 3)
    charged = Charged(
        tensor(positions).reshape(-1, 3),
        tensor(charges).unsqueeze(1),
        tensor(cell),
        periodic,
    )
    return charged, -num_units * madelung


CELLS = {
    "cubic": [[6.0, 0, 0], [0, 6, 0], [0, 0, 6]],
    "skewed": [[6.0, 0, 0], [2.4, 5.9, 0], [-2.9, 1.1, 7.6]],
    "left-handed": [[0, 6.2, 0.3], [5.0, 0, 0], [0.4, 1.0, 7.0]],
    "tiny": [[2.0, 0, 0], [0.6, 1.8, 0], [0.3, -0.4, 2.2]],
    "needle": [[2.5, 0, 0], [0, 2.5, 0], [3.0, 1.0, 60.0]],
    "plate": [[25.0, 0, 0], [4.0, 24.0, 0], [0, 0, 2.2]],
}


def random_system(
    cell: str = "skewed",
    num_atoms: int = 12,
    num_columns: int = 2,
    pbc: tuple[bool, bool, bool] = (True, True, True),
    neutral: bool = False,
    seed: int = 0,
) -> Charged:
    """Random positions, and random charges that do not sum to zero."""
    generator = torch.Generator().manual_seed(seed)
    lattice = tensor(CELLS[cell])
    fractional = torch.rand(num_atoms, 3, generator=generator, dtype=torch.float64)
    charges = torch.randn(num_atoms, num_columns, generator=generator).double()
    if neutral:
        charges = charges - charges.mean(0)
    return Charged(fractional @ lattice, charges, lattice, torch.tensor(pbc))


def rotation(seed: int = 0, mirror: bool = False) -> torch.Tensor:
    """A random orthogonal matrix of determinant 1, or -1."""
    return (-1.0 if mirror else 1.0) * systems.rotation(seed)


def supercell(name: str, repeats: int, rattle: float) -> Charged:
    """A crystal with 2.6 between atoms."""
    unit, _ = crystal(name)
    torch.manual_seed(0)
    volume = torch.abs(torch.linalg.det(unit.cell)) / len(unit.positions)
    scale = 2.6 / volume ** (1 / 3)
    shifts = torch.cartesian_prod(*[torch.arange(repeats)] * 3).double() @ unit.cell
    positions = (unit.positions + shifts.unsqueeze(1)).reshape(-1, 3)
    return unit._replace(
        positions=scale * positions + rattle * torch.randn_like(positions),
        charges=unit.charges.repeat(repeats**3, 1),
        cell=scale * repeats * unit.cell,
    )


def relative_errors(system, results, expected) -> list[float]:
    """RMS errors of potentials and forces, in units of ``q / 2d`` and ``q^2 / d^2``."""
    spacing = (torch.linalg.det(system.cell).abs() / len(system.positions)) ** (1 / 3)
    charge = system.charges.square().mean().sqrt()
    units = [charge / (2 * spacing), (charge / spacing) ** 2]
    return [
        float((a - b).square().sum(1).mean().sqrt() / unit)
        for a, b, unit in zip(results, expected, units)
    ]


def graph_of(systems: list[Charged], dtype: torch.dtype = torch.float64) -> Graph:
    counts = torch.tensor([len(system.positions) for system in systems])
    pairs = [[], [], []]
    for start, system in zip(torch.cumsum(counts, 0) - counts, systems):
        found = neighbor_list(system.positions, system.cell, system.pbc, CUTOFF)
        for values, new in zip(pairs, (found[0] + start, found[1] + start, found[2])):
            values.append(new)
    return Graph(
        positions=torch.cat([s.positions for s in systems]).to(dtype),
        species=torch.zeros(int(counts.sum()), dtype=torch.int64),
        cells=torch.stack([s.cell for s in systems]).to(dtype),
        pbc=torch.stack([s.pbc for s in systems]),
        systems=torch.repeat_interleave(counts),
        centers=torch.cat(pairs[0]),
        neighbors=torch.cat(pairs[1]),
        cell_shifts=torch.cat(pairs[2]),
    )


def solve_graph(solver, graph: Graph, charges: torch.Tensor) -> torch.Tensor:
    rows = gather_neighborhoods(graph)
    distances = safe_norm(neighbor_vectors(graph, rows, CUTOFF))
    return solver(
        graph.positions,
        charges.to(graph.positions.dtype),
        graph.cells,
        graph.pbc,
        graph.systems,
        Pairs(rows.centers, rows.neighbors, distances),
    )


def assert_same_derivatives(
    solvers: list[torch.nn.Module], graph: Graph, charges: torch.Tensor
) -> None:
    """Potentials and two derivatives of their energy, in Python and in TorchScript."""
    outcomes = []
    for solver in solvers:
        for module in (solver, torch.jit.script(solver)):
            positions = graph.positions.clone().requires_grad_(True)
            potentials = solve_graph(module, graph._replace(positions=positions), charges)
            energy = (charges * potentials).sum()
            (gradient,) = torch.autograd.grad(energy, positions, create_graph=True)
            (second,) = torch.autograd.grad((gradient * gradient).sum(), positions)
            outcomes.append((potentials, gradient, second))
    exact = 1e-12 if positions.dtype == torch.float64 else 1e-4
    for outcome in outcomes[1:]:
        for values, expected in zip(outcome, outcomes[0]):
            largest = float(expected.detach().abs().max())
            torch.testing.assert_close(values, expected, rtol=0.0, atol=exact * largest)
