"""How each system is summed, and which ones are summed together."""

import torch

from .feasible import check_ewald, check_mesh
from .kvectors import KBox, KSphere, KVectors, lattice_lengths
from .mesh_size import mesh_shape, num_points
from .periodicity import Lattices, some_lattices
from .plan import (
    CoulombPlan,
    EwaldGroup,
    MeshGroup,
    padded_batch,
    places,
    similar_systems,
)


class Planner(torch.nn.Module):
    """Makes a :class:`.CoulombPlan` of what is known of the systems.

    :param smearing: width of the Gaussian charges
    :param accuracy: of sums on a mesh, see :mod:`.truncation`
    :param kvectors: those of Ewald sums
    :param method: of periodic systems, ``ewald``, ``mesh`` or ``auto``
    """

    def __init__(
        self, smearing: float, accuracy: float, kvectors: KSphere | KBox, method: str
    ) -> None:
        super().__init__()
        self.smearing = smearing
        self.accuracy = accuracy
        self.kvectors = kvectors
        self.method = method

    def extra_repr(self) -> str:
        """Settings."""
        return f"method={self.method}, accuracy={self.accuracy:g}"

    def forward(
        self,
        lattices: Lattices,
        pbc: torch.Tensor,
        systems: torch.Tensor,
        num_columns: int,
    ) -> CoulombPlan:
        """The plan of a batch.

        :param pbc: ``[S, 3]``
        :param systems: ``[N]``
        :param num_columns: columns of charges
        """
        num_atoms, device = lattices.num_atoms, systems.device
        largest = self.kvectors.largest(lattices)
        methods = self.methods(lattices, largest, num_columns)

        chosen = of_method("open", methods)
        factors = [[num_atoms[system], num_atoms[system]] for system in chosen]
        open_batches = [
            padded_batch(group, num_atoms, device)
            for group in similar_systems(chosen, factors)
        ]
        chosen = of_method("ewald", methods)
        factors = [[num_atoms[system]] + box_sizes(largest[system]) for system in chosen]
        ewald = [
            EwaldGroup(
                padded_batch(group, num_atoms, device),
                self.kvectors_of(group, lattices, largest, device),
            )
            for group in similar_systems(chosen, factors)
        ]
        mesh = [
            MeshGroup(
                padded_batch([system], num_atoms, device),
                self.mesh_of(system, lattices),
            )
            for system in of_method("mesh", methods)
        ]
        batches = open_batches + [group.batch for group in ewald]
        batches = batches + [group.batch for group in mesh]
        order = places(batches, systems.shape[0], device)
        return CoulombPlan(lattices, pbc, systems, open_batches, ewald, mesh, order)

    def methods(
        self, lattices: Lattices, largest: list[list[int]], num_columns: int
    ) -> list[str]:
        """How to sum each system: ``open``, ``ewald``, ``mesh``, or not at all.

        :param largest: largest k-vector index of each system along each axis
        :param num_columns: columns of charges
        :raises ValueError: for systems that take too much memory, see :mod:`.feasible`
        """
        methods: list[str] = []
        lengths: list[list[float]] = lattice_lengths(lattices.cells).tolist()
        for system, count in enumerate(lattices.num_atoms):
            method = self.method
            if count == 0:
                method = "none"
            elif lattices.num_periodic[system] == 0:
                method = "open"
            elif method == "auto":
                num_k = 1
                for size in box_sizes(largest[system]):
                    num_k *= size
                method = "ewald"
                # Small boxes need no closer look.
                if count * num_k > 10_000_000:
                    points = num_points(self.mesh_of(system, lattices))
                    if mesh_is_faster(count * num_k, points, num_columns):
                        method = "mesh"
            if method == "ewald":
                of_system = largest[system]
                check_ewald(system, count, lengths[system], of_system, num_columns)
            if method == "mesh":
                points = num_points(self.mesh_of(system, lattices))
                check_mesh(system, count, lengths[system], points, num_columns)
            methods.append(method)
        return methods

    def mesh_of(self, system: int, lattices: Lattices) -> list[int]:
        """Points along each lattice vector, see :func:`.mesh_shape`."""
        cell, count = lattices.cells[system], lattices.num_atoms[system]
        return mesh_shape(cell, count, self.smearing, self.accuracy)

    def kvectors_of(
        self,
        group: list[int],
        lattices: Lattices,
        largest: list[list[int]],
        device: torch.device,
    ) -> KVectors:
        """The k-vectors of several systems, on a device."""
        kvectors = self.kvectors.select(
            some_lattices(lattices, group),
            [max([largest[system][axis] for system in group]) for axis in range(3)],
        )
        return KVectors(
            kvectors.planes.to(device),
            kvectors.first.to(device),
            kvectors.last.to(device),
            kvectors.highest,
        )


def box_sizes(largest: list[int]) -> list[int]:
    """Numbers of k-vectors along each axis up to the ``largest`` ones, in a half space."""
    return [largest[0] + 1, 2 * largest[1] + 1, 2 * largest[2] + 1]


def mesh_is_faster(waves: int, points: int, num_columns: int) -> bool:
    """Whether a mesh takes less time than an Ewald sum.

    The time of Ewald sums is that of matrix products of all atoms and k-vectors, of
    which a part does not grow with the columns of charges; the time on a mesh is
    that of moving blocks of the mesh through the memory, for each column.

    :param waves: number of atoms times that of k-vectors in their box
    :param points: see :func:`.num_points`
    :param num_columns: columns of charges
    """
    # Fitted to measured times by `benchmarks/fit_methods.py`
    return waves * (2.6 + num_columns) > 155 * points * num_columns


def of_method(wanted: str, methods: list[str]) -> list[int]:
    """Systems that are summed by this method."""
    systems: list[int] = []
    for system, method in enumerate(methods):
        if method == wanted:
            systems.append(system)
    return systems
