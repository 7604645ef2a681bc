"""How each system is summed, and which ones are summed together."""

import math

import torch

from .feasible import check_ewald, check_mesh
from .kvectors import KBox, KSphere, KVectors, lattice_lengths
from .mesh_size import BLOCK, ORDER, mesh_shape, mesh_spacing, num_points
from .periodicity import Lattices, some_lattices
from .plan import (
    CoulombPlan,
    EwaldGroup,
    MeshGroup,
    padded_batch,
    places,
    similar_systems,
)
from .splitting import Split


class Planner(torch.nn.Module):
    """Makes a :class:`.CoulombPlan` of what is known of the systems.

    :param split: which part of the potentials is summed
    :param kvectors: those of Ewald sums
    :param method: of periodic systems, ``ewald``, ``mesh`` or ``auto``
    """

    def __init__(self, split: Split, kvectors: KSphere | KBox, method: str) -> None:
        super().__init__()
        self.split = split
        self.kvectors = kvectors
        self.method = method
        self.mesh_work = mesh_work(split)

    def extra_repr(self) -> str:
        """Settings."""
        return f"method={self.method}"

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
                # The time of Ewald sums has a part that does not grow with the columns.
                use_mesh = count * (2.6 + num_columns) > self.mesh_work * num_columns
                method = "mesh" if use_mesh else "ewald"
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
        smearing, accuracy = self.split.smearing, self.split.accuracy
        return mesh_shape(cell, count, smearing, accuracy, self.split.mesh_error)

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


def mesh_work(split: Split) -> float:
    r"""Time on a mesh, for each column of charges, over that of an Ewald sum of one atom.

    Ewald sums take matrix products of atoms and all k-vectors in a box, of which there are
    :math:`V K^3 / 2 \pi^3` up to a length of ``K``. A mesh moves blocks of its :math:`V /
    h^3` points, with their margins, through the memory. The volume drops out, so that the
    choice of a method does not change while a cell does.
    """
    distance = 0.5 * split.cutoff
    step = mesh_spacing(distance, split.smearing, split.accuracy, split.mesh_error)
    waves = (split.radius(distance) / math.pi) ** 3 / 2
    points = 1.5 * ((BLOCK + ORDER - 1) / (BLOCK * step)) ** 3  # in whole blocks
    # Fitted to measured times by `benchmarks/fit_methods.py`
    return 155 * points / waves


def of_method(wanted: str, methods: list[str]) -> list[int]:
    """Systems that are summed by this method."""
    systems: list[int] = []
    for system, method in enumerate(methods):
        if method == wanted:
            systems.append(system)
    return systems
