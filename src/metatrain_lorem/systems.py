"""From metatomic systems to the plain tensors of the network."""

from typing import Optional

import torch
from metatensor.torch import Labels
from metatomic.torch import NeighborListOptions, System

from .graph import Graph
from .ops.rows import count_rows


def graph_of_systems(
    systems: list[System],
    options: NeighborListOptions,
    largest_states: Optional[tuple[int, int]] = None,
) -> Graph:
    """Concatenate systems into one graph.

    Pair vectors are not taken from the neighbor list: they follow from positions, cell
    and shifts, so that distances and indices cannot disagree.

    :param systems: systems that hold the neighbor list of ``options``
    :param options: full neighbor list within the cutoff
    :param largest_states: largest total charge and spin multiplicity, if they are read
    :raises ValueError: for states beyond, see :func:`states_of_systems`
    """
    device = systems[0].device
    positions: list[torch.Tensor] = []
    species: list[torch.Tensor] = []
    cells: list[torch.Tensor] = []
    pbc: list[torch.Tensor] = []
    index: list[torch.Tensor] = []
    samples: list[torch.Tensor] = []
    num_atoms = 0
    for i, system in enumerate(systems):
        pairs = system.get_neighbor_list(options).samples.values.to(torch.int64)
        samples.append(torch.cat([pairs[:, :2] + num_atoms, pairs[:, 2:]], dim=1))
        positions.append(system.positions)
        species.append(system.types.to(torch.int64))
        cells.append(system.cell)
        pbc.append(system.pbc)
        index.append(torch.full_like(species[i], i))
        num_atoms += species[i].shape[0]
    all_pairs = torch.cat(samples)
    states: Optional[torch.Tensor] = None
    if largest_states is not None:
        states = states_of_systems(systems, largest_states[0], largest_states[1])
    return Graph(
        positions=torch.cat(positions),
        species=torch.cat(species),
        cells=torch.stack(cells),
        pbc=torch.stack(pbc).to(device),
        systems=torch.cat(index),
        centers=all_pairs[:, 0],
        neighbors=all_pairs[:, 1],
        cell_shifts=all_pairs[:, 2:],
        states=states,
    )


def states_of_systems(
    systems: list[System], max_charge: int, max_spin_multiplicity: int
) -> torch.Tensor:
    """Total charge and spin multiplicity of each system, ``[S, 2]``, integers.

    :raises ValueError: for what is no whole number or beyond the bounds, naming the system
    """
    states = torch.zeros(len(systems), 2, dtype=torch.float64)
    for i, system in enumerate(systems):
        states[i, 1] = 1.0
        for column, name in enumerate(["charge", "spin_multiplicity"]):
            if name in system.known_data():
                states[i, column] = system.get_data(name).block().values.item()
            value = float(states[i, column])
            most = max_charge if column == 0 else max_spin_multiplicity
            least = -max_charge if column == 0 else 1
            if not (least <= value <= most) or value != round(value):
                raise ValueError(
                    f"{name} of system {i} is {value}, but this model takes whole numbers "
                    f"from {least} to {most}"
                )
    return states.to(torch.int64).to(systems[0].device)


def atom_samples(graph: Graph) -> Labels:
    """Labels ``(system, atom)`` of all atoms of a graph."""
    num_atoms = graph.systems.shape[0]
    counts = count_rows(graph.systems, graph.cells.shape[0])
    starts = torch.cumsum(counts, 0) - counts
    atoms = torch.arange(num_atoms, device=graph.systems.device)
    atoms = atoms - starts[graph.systems]
    return Labels(
        names=["system", "atom"],
        values=torch.stack([graph.systems, atoms], dim=1),
        assume_unique=True,
    )
