"""Where `CHUNK` of `metatrain_lorem.ops.budget` comes from: time against chunk size.

    OMP_NUM_THREADS=1 python benchmarks/fit_chunks.py

Each place that cuts arrays into chunks is run alone, with the derivative in what it gets,
at the sizes of the paper. The result is the budget with the smallest mean loss of time
against the best budget of each place.
"""

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from measure import EnergyModel, make_graph, write_results
from roofline import with_gradient
from structures import crystal

from metatrain_lorem.graph import geometry_of
from metatrain_lorem.network.features import Features
from metatrain_lorem.ops.budget import CHUNK
from metatrain_lorem.ops.chunks import chunk_size


BUDGETS = [500_000, 700_000, 1_000_000, 1_400_000, 2_000_000, 2_800_000, 4_000_000, 10**12]
STRUCTURES = {
    "64 NaCl cubic": lambda: crystal(64, "NaCl cubic"),
    "512 rock salt, 2.8 A": lambda: crystal(512, "NaCl cubic", 2.8),
    "512 NaCl cubic": lambda: crystal(512, "NaCl cubic"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    repeats = parser.parse_args().repeats
    rows: list[dict[str, Any]] = []
    print(f"{'ms, by budget':>32} " + " ".join(f"{budget:>9.1e}" for budget in BUDGETS))
    for structure in STRUCTURES:
        for place, function in places(structure).items():
            times = measure(function, repeats)
            rows.append({"structure": structure, "place": place, "ms": times})
            print(line(f"{structure}, {place}", times), flush=True)
    losses = {budget: mean_loss(rows, budget) for budget in BUDGETS}
    best = min(losses, key=lambda budget: losses[budget])
    print(line("mean loss in %", losses))
    print(f"best: {best}, in use: {CHUNK}")
    write_results("chunks_cpu", "cpu", [*rows, {"mean loss in %": losses, "best": best}])


def line(title: str, values: dict[int, float]) -> str:
    return f"{title:>32} " + " ".join(f"{value:9.2f}" for value in values.values())


def places(structure: str) -> dict[str, Callable[[], None]]:
    """What is cut into chunks, each with its derivative."""
    graph = make_graph(STRUCTURES[structure](), 5.0, "cpu", torch.float32)
    network = EnergyModel(num_message_passing=1, long_range=False).network
    geometry = geometry_of(graph, network.plan(graph).neighborhoods, network.cutoff)
    vectors, distances = geometry.vectors, geometry.distances
    with torch.no_grad():
        features = network.short_range(geometry)

    def sums(vectors: torch.Tensor, distances: torch.Tensor) -> tuple[torch.Tensor, ...]:
        moved = geometry._replace(vectors=vectors, distances=distances)
        return network.sum_neighbors(moved)

    def messages(scalars: torch.Tensor, spherical: torch.Tensor) -> Features:
        return network.messages[0](geometry, Features(scalars, spherical))

    functions = {
        "density": partial(with_gradient, network.density, (vectors, distances)),
        "sums": partial(with_gradient, sums, (vectors, distances)),
        "coupling": partial(with_gradient, network.couple, (features.spherical,)),
    }
    if len(graph.species) < 100:  # seconds, else
        functions["messages"] = partial(with_gradient, messages, tuple(features))
    return functions


def measure(function: Callable[[], None], repeats: int) -> dict[int, float]:
    """Shortest processor time in milliseconds for each budget; budgets take turns."""
    times = dict.fromkeys(BUDGETS, math.inf)
    for _ in range(1 + repeats):
        for budget in BUDGETS:
            # The default argument is what all callers take.
            chunk_size.__defaults__ = (budget,)
            start = time.process_time()
            function()
            times[budget] = min(times[budget], 1e3 * (time.process_time() - start))
    return times


def mean_loss(rows: list[dict[str, Any]], budget: int) -> float:
    """Geometric mean of the times relative to the best ones, in percent."""
    ratios = [row["ms"][budget] / min(row["ms"].values()) for row in rows]
    return 100 * (math.prod(ratios) ** (1 / len(ratios)) - 1)


if __name__ == "__main__":
    main()
