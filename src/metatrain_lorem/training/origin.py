"""Structures far away from the origin, which float32 would round."""

import torch
from metatomic.torch import System

from ..coulomb.periodicity import checked_lattices, moved_to_origin
from .batches import Maps, TensorMaps


# Angstrom from the origin, where float32 rounds to 4e-6
FAR = 100.0


def close_to_origin(systems: list[System], targets: TensorMaps, extra: TensorMaps) -> Maps:
    """The same physical systems: those beyond :data:`FAR` are moved, without their pairs.

    float32 holds a position of 1000 Angstrom to 3e-5 Angstrom. Most data are close to the
    origin anyway. Wires stay: there is no lattice to move their atoms by.
    """
    systems = [_moved(system) if _is_far(system) else system for system in systems]
    return systems, targets, extra


def _is_far(system: System) -> bool:
    is_wire = int(system.pbc.sum()) == 1
    return not is_wire and float(system.positions.abs().max()) > FAR


def _moved(system: System) -> System:
    index = torch.zeros(len(system), dtype=torch.int64)
    cells, pbc = system.cell.unsqueeze(0), system.pbc.unsqueeze(0)
    lattices = checked_lattices(system.positions, cells, pbc, index, 1.0)
    positions = moved_to_origin(system.positions, cells, pbc, index, lattices)
    moved = System(system.types, positions, system.cell, system.pbc)
    for name in system.known_data():
        moved.add_data(name, system.get_data(name))
    return moved
