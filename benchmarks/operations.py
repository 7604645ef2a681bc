"""Operations that launch a kernel on a GPU, by stage of the data flow and by pass.

    python benchmarks/operations.py

Small systems are bound by launches there, of some microseconds each. Counted are all
operations but views and allocations, on the path that a GPU takes: all atoms in one piece.

* ``inference``: energy and forces of 64 ions in the cubic cell of the benchmarks, with the
  default model, with and without long range;
* ``training``: a step with forces for eight molecules, with the second derivatives.

The operations of a backward pass are counted where those of the forward pass were.
Writes ``results/operations.json``.
"""

import sys
from pathlib import Path

import torch
from ase.build import molecule
from measure import EnergyModel, make_graph, write_results
from structures import crystal

from metatrain_lorem.graph import Graph


sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.operations import count_inference, count_training  # noqa: E402


# Stages of the network: the innermost module of these names that an operation is in
STAGES = [
    "density.radial",
    "density.harmonics",
    "density",
    "expansion",
    "couple",
    "norms",
    "density_update",
    "norms_update",
    "long_range.charges",
    "long_range.coulomb",
    "long_range.product",
    "long_range.norms",
    "long_range.update",
    "long_range",
]


def merged(graphs: list[Graph]) -> Graph:
    """One batch of several systems."""
    starts = torch.tensor([0, *(len(graph.species) for graph in graphs)]).cumsum(0)
    columns = {
        name: torch.cat([getattr(graph, name) for graph in graphs])
        for name in ("positions", "species", "cells", "pbc", "cell_shifts")
    }
    shifted = {
        name: torch.cat(
            [getattr(graph, name) + offset for graph, offset in zip(graphs, offsets)]
        )
        for name, offsets in [
            ("systems", range(len(graphs))),
            ("centers", starts.tolist()),
            ("neighbors", starts.tolist()),
        ]
    }
    return Graph(**columns, **shifted)


def main() -> None:
    ions = make_graph(crystal(64, "NaCl cubic"), 5.0, "cpu", torch.float32)
    molecules = merged(
        [make_graph(molecule("C2H6"), 5.0, "cpu", torch.float32) for _ in range(8)]
    )
    counts = {
        "inference, with long range": count_inference(EnergyModel(), ions, STAGES),
        "inference, without": count_inference(EnergyModel(long_range=False), ions, STAGES),
        "training": count_training(EnergyModel(), molecules),
    }
    for case, count in counts.items():
        stages = count.pop("stages", {})
        print(case, count)
        for stage, number in sorted(stages.items(), key=lambda item: -item[1]):
            print(f"    {stage:22s} {number:4d}")
        count["stages"] = stages
    write_results(
        "operations", "cpu", [{"case": c, **count} for c, count in counts.items()]
    )


if __name__ == "__main__":
    main()
