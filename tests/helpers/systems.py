"""Structures for the tests, the same in other guises, and graphs made of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from metatrain_lorem.coulomb.neighbors import neighbor_list
from metatrain_lorem.graph import Graph


class Structure(NamedTuple):
    """Atoms, with lengths in Angstrom; lattice vectors are zero along open directions."""

    species: torch.Tensor  # [N]
    positions: torch.Tensor  # [N, 3] float64
    cell: torch.Tensor  # [3, 3] float64, rows
    pbc: torch.Tensor  # [3] bool


def make_structure(
    species: list[int],
    positions: list[list[float]] | torch.Tensor,
    cell: list[list[float]] | None = None,
    pbc: tuple[bool, bool, bool] = (False, False, False),
) -> Structure:
    periodic = torch.tensor(pbc)
    vectors = torch.zeros(3, 3) if cell is None else torch.tensor(cell)
    return Structure(
        torch.tensor(species, dtype=torch.int64),
        torch.as_tensor(positions, dtype=torch.float64).reshape(-1, 3),
        vectors.double() * periodic.unsqueeze(1),
        periodic,
    )


def structure_of(system: Any) -> Structure:
    """The same as a system of metatomic."""
    return Structure(system.types.long(), system.positions, system.cell, system.pbc)


def rattled(structure: Structure, seed: int = 0, size: float = 0.1) -> Structure:
    """On perfect crystals forces vanish by symmetry, and errors with them."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(structure.positions.shape, generator=generator).double()
    return structure._replace(positions=structure.positions + size * noise)


def crystal() -> Structure:
    """Rock salt, eight atoms."""
    corners = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
    positions = 2.6 * torch.cat([corners, corners + torch.tensor([1, 0, 0])])
    cell = [[5.2, 0.0, 0.0], [0.0, 5.2, 0.0], [0.0, 0.0, 5.2]]
    return rattled(make_structure([11] * 4 + [17] * 4, positions, cell, (True,) * 3))


def skewed_crystal() -> Structure:
    """Three species in a triclinic cell shorter than the cutoff."""
    cell = [[4.3, 0.0, 0.0], [1.4, 3.9, 0.0], [-0.9, 1.1, 4.6]]
    positions = [[0.5, 0.2, 0.9], [1.9, 2.6, 2.3], [2.9, 1.2, 3.3]]
    return make_structure([8, 11, 17], positions, cell, (True,) * 3)


def charged_crystal() -> Structure:
    """One species only, so that all charges have the same sign."""
    cell = [[4.1, 0.3, 0.0], [0.0, 4.4, 0.2], [0.5, 0.0, 3.9]]
    positions = [[0.1, 0.0, 0.2], [2.1, 2.3, 1.8], [0.3, 2.0, 1.9]]
    return make_structure([11] * 3, positions, cell, (True,) * 3)


def slab() -> Structure:
    """Periodic along x and an oblique direction of the plane."""
    cell = [[3.8, 0.0, 0.0], [1.2, 4.1, 0.0], [0.0, 0.0, 0.0]]
    positions = [[0.1, 0.0, 0.2], [2.4, 1.7, 1.9], [1.2, 2.5, 3.5]]
    return make_structure([11, 17, 8], positions, cell, (True, True, False))


def molecule() -> Structure:
    return make_structure(
        [8, 1, 1], [[0.0, 0.02, 0.12], [0.01, 0.76, -0.47], [0.05, -0.79, -0.42]]
    )


def molecules() -> Structure:
    """Two molecules that feel each other by the long-range block only."""
    other = molecule().positions.flip(1) + torch.tensor([5.0, 6.0, 4.0])
    return make_structure([8, 1, 1, 9, 1, 1], torch.cat([molecule().positions, other]))


def single_atom() -> Structure:
    return make_structure([17], [[0.3, -0.2, 0.1]])


def lone_ion() -> Structure:
    """A periodic atom beyond the cutoff of its own images."""
    cell = [[6.5, 0.0, 0.0], [0.4, 6.1, 0.0], [0.0, -0.3, 6.7]]
    return make_structure([11], [[0.3, -0.2, 0.1]], cell, (True,) * 3)


def tiny_cell() -> Structure:
    """Each atom has its own images among its neighbors, and most pairs many shifts."""
    cell = [[2.1, 0.0, 0.0], [0.3, 2.4, 0.1], [-0.2, 0.4, 2.6]]
    positions = [[0.0, 0.1, 0.2], [1.3, 1.1, 1.5]]
    return make_structure([11, 17], positions, cell, (True,) * 3)


def distant_atoms() -> Structure:
    """An open system without any pair within the cutoff."""
    return make_structure([8, 1, 17], [[0.0, 0.1, 0.2], [6.0, 0.0, 0.0], [1.0, 7.0, 2.0]])


STRUCTURES: dict[str, Callable[[], Structure]] = {
    function.__name__: function
    for function in (
        crystal,
        skewed_crystal,
        charged_crystal,
        slab,
        molecule,
        molecules,
        single_atom,
        lone_ion,
        tiny_cell,
        distant_atoms,
    )
}


def mixed() -> list[Structure]:
    """Crystal, slab, open systems, and some without any pairs, as one batch."""
    return [crystal(), molecule(), single_atom(), slab(), distant_atoms(), lone_ion()]


def rotation(seed: int = 0) -> torch.Tensor:
    """A random proper rotation matrix, in float64."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(3, 3, dtype=torch.float64, generator=generator)
    orthogonal = torch.linalg.qr(matrix)[0]
    return orthogonal * torch.linalg.det(orthogonal).sign()


def transformed(structure: Structure, matrix: torch.Tensor) -> Structure:
    """Every vector ``r`` becomes ``matrix @ r``."""
    return structure._replace(
        positions=structure.positions @ matrix.T, cell=structure.cell @ matrix.T
    )


def translated(structure: Structure, vector: list[float]) -> Structure:
    return structure._replace(positions=structure.positions + torch.tensor(vector))


def permuted(structure: Structure, order: torch.Tensor) -> Structure:
    return structure._replace(
        species=structure.species[order], positions=structure.positions[order]
    )


def shifted(structure: Structure, seed: int = 0) -> Structure:
    """Each atom is moved by lattice vectors of its own."""
    generator = torch.Generator().manual_seed(seed)
    shifts = torch.randint(-3, 4, structure.positions.shape, generator=generator)
    return structure._replace(
        positions=structure.positions + shifts.double() @ structure.cell
    )


def with_other_cell(structure: Structure) -> Structure:
    """The same lattice from other lattice vectors, left-handed ones among them."""
    first, second, third = structure.cell.unbind()
    if bool(structure.pbc[2]):
        cell = torch.stack([second - third, first + 2 * second, third])
    else:
        cell = torch.stack([second - first, second, third])
    return structure._replace(cell=cell)


def repeated(structure: Structure, repeats: tuple[int, int, int]) -> Structure:
    """A supercell; the atoms of one copy are contiguous."""
    shifts = torch.cartesian_prod(*[torch.arange(n) for n in repeats]).double()
    positions = structure.positions + (shifts @ structure.cell).unsqueeze(1)
    return structure._replace(
        species=structure.species.repeat(len(shifts)),
        positions=positions.reshape(-1, 3),
        cell=structure.cell * torch.tensor(repeats).unsqueeze(1),
    )


def make_graph(
    structures: list[Structure],
    cutoff: float,
    dtype: torch.dtype = torch.float64,
    seed: int | None = None,
) -> Graph:
    """A batch of structures with their pairs.

    :param seed: if given, the pairs of each system are put into random order
    """
    generator = torch.Generator().manual_seed(seed or 0)
    pairs, systems, start = [], [], 0
    for i, structure in enumerate(structures):
        centers, neighbors, shifts = neighbor_list(
            structure.positions, structure.cell, structure.pbc, cutoff
        )
        rows = torch.cat([torch.stack([centers, neighbors], 1) + start, shifts], dim=1)
        if seed is not None:
            rows = rows[torch.randperm(len(rows), generator=generator)]
        pairs.append(rows)
        systems.append(torch.full_like(structure.species, i))
        start += len(structure.species)
    all_pairs = torch.cat(pairs)
    return Graph(
        positions=torch.cat([s.positions for s in structures]).to(dtype),
        species=torch.cat([s.species for s in structures]),
        cells=torch.stack([s.cell for s in structures]).to(dtype),
        pbc=torch.stack([s.pbc for s in structures]),
        systems=torch.cat(systems),
        centers=all_pairs[:, 0],
        neighbors=all_pairs[:, 1],
        cell_shifts=all_pairs[:, 2:],
    )
