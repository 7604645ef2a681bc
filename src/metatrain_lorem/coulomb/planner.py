"""How each system is summed, and which ones are summed together."""

import math
from typing import NamedTuple, Optional

import torch

from .feasible import check_ewald, check_mesh
from .kvectors import KBox, KSphere, KVectors
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
from .sparse import LengthScale, in_units
from .splitting import CompactSplit, Split


class Decisions(NamedTuple):
    """How each of ``S`` systems is summed."""

    scales: list[float]  # units of length, see `sparse`
    lattices: Lattices  # in these units
    largest: list[list[int]]  # k-vector index of each system along each axis
    methods: list[str]  # "open", "ewald", "mesh", or "none"


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
        # Explicit wishes are kept: Gaussian charges of a width, boxes of k-vectors, a mesh.
        is_free = isinstance(split, CompactSplit) and isinstance(kvectors, KSphere)
        self.length_scale = LengthScale(split, is_free and method != "mesh")

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
        decisions, device = self.decide(lattices, num_columns), systems.device
        num_atoms, scales = lattices.num_atoms, decisions.scales
        chosen = of_method("open", decisions.methods)
        factors = [[num_atoms[system], num_atoms[system]] for system in chosen]
        open_batches = [
            padded_batch(group, num_atoms, device)
            for group in similar_systems(chosen, factors)
        ]
        ewald = self.ewald_groups(decisions, device)
        mesh = [
            MeshGroup(
                padded_batch([system], num_atoms, device),
                self.mesh_of(system, decisions.lattices),
                units_of([system], scales, device),
            )
            for system in of_method("mesh", decisions.methods)
        ]
        batches = open_batches + [group.batch for group in ewald]
        batches = batches + [group.batch for group in mesh]
        order = places(batches, systems.shape[0], device)
        dense: list[bool] = []
        for periodic, scale in zip(lattices.num_periodic, scales):
            dense.append(periodic > 0 and scale == 1)
        return CoulombPlan(
            *(lattices, pbc, systems, open_batches, ewald, mesh, order),
            torch.tensor(dense).to(device),
            sum([int(d) for d in dense]),
        )

    def ewald_groups(self, decisions: Decisions, device: torch.device) -> list[EwaldGroup]:
        """Similar systems together, of which all or none are sparse."""
        groups: list[EwaldGroup] = []
        num_atoms, scales = decisions.lattices.num_atoms, decisions.scales
        chosen = of_method("ewald", decisions.methods)
        for sparse in [False, True]:
            some: list[int] = []
            factors: list[list[int]] = []
            for system in chosen:
                if (scales[system] > 1) == sparse:
                    sizes = box_sizes(decisions.largest[system])
                    if sparse:
                        sizes = [num_atoms[system] + sizes[0] * sizes[1] * sizes[2]]
                    some.append(system)
                    factors.append([num_atoms[system]] + sizes)
            for group in similar_systems(some, factors):
                kvectors = self.kvectors_of(
                    group, decisions.lattices, decisions.largest, device
                )
                groups.append(
                    EwaldGroup(
                        padded_batch(group, num_atoms, device),
                        kvectors,
                        units_of(group, scales, device),
                    )
                )
        return groups

    def decide(self, lattices: Lattices, num_columns: int) -> Decisions:
        """How to sum each system.

        :param num_columns: columns of charges
        :raises ValueError: for systems that take too much memory, see :mod:`.feasible`
        """
        # The time of Ewald sums has a part that does not grow with the columns.
        work = 2.6 + num_columns
        most_atoms = math.inf
        if self.method == "auto":
            most_atoms = self.mesh_work * num_columns / work
        scales = self.length_scale(lattices, work, most_atoms)
        scaled = in_units(lattices, scales)
        largest = self.kvectors.largest(scaled)
        methods: list[str] = []
        lengths = lattices.lengths
        for system, count in enumerate(lattices.num_atoms):
            method = self.method
            if count == 0:
                method = "none"
            elif lattices.num_periodic[system] == 0:
                method = "open"
            elif method == "auto":
                method = "mesh" if count > most_atoms else "ewald"
            if method == "ewald":
                of_system = largest[system]
                check_ewald(system, count, lengths[system], of_system, num_columns)
            if method == "mesh":
                points = num_points(self.mesh_of(system, scaled))
                check_mesh(system, count, lengths[system], points, num_columns)
            methods.append(method)
        return Decisions(scales, scaled, largest, methods)

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
            kvectors.unused.to(device),
            kvectors.forms.to(device),
            kvectors.powers.to(device),
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


def units_of(
    group: list[int], scales: list[float], device: torch.device
) -> Optional[torch.Tensor]:
    """Units of length of sparse systems, ``[B, 1, 1]``; nothing for others."""
    if scales[group[0]] == 1:
        return None
    units = torch.tensor([scales[system] for system in group], dtype=torch.float64)
    return units[:, None, None].to(device)


def of_method(wanted: str, methods: list[str]) -> list[int]:
    """Systems that are summed by this method."""
    systems: list[int] = []
    for system, method in enumerate(methods):
        if method == wanted:
            systems.append(system)
    return systems
