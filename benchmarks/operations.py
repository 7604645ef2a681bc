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

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from ase.build import molecule
from measure import EnergyModel, make_graph, write_results
from structures import crystal
from torch.utils._python_dispatch import TorchDispatchMode

from metatrain_lorem.graph import Graph
from metatrain_lorem.ops import chunks


WITHOUT_KERNEL = {
    "detach",
    "empty",
    "empty_like",
    "empty_strided",
    "lift_fresh",
    "new_empty",
    "new_empty_strided",
    "_local_scalar_dense",
    "_reshape_alias",
    "_unsafe_view",
}
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


class OperationCounter(TorchDispatchMode):
    """Counts operations, under the name of a stage."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.stages = ["others"]

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        name = function.overloadpacket.__name__
        if not function.is_view and name not in WITHOUT_KERNEL:
            self.counts[self.stages[-1]] += 1
        return function(*arguments, **(options or {}))

    @contextlib.contextmanager
    def watch(self, model: EnergyModel) -> Iterator[None]:
        """Put operations of the stages of a model under their names."""
        handles = []
        for name in STAGES:
            with contextlib.suppress(AttributeError):
                module = model.network.get_submodule(name)
                enter, leave = self._enter(name), self._leave
                handles.append(module.register_forward_pre_hook(enter))
                handles.append(module.register_forward_hook(leave))
        yield
        for handle in handles:
            handle.remove()

    def _enter(self, name: str) -> Any:
        return lambda *_: self.stages.append(name)

    def _leave(self, *_: Any) -> None:
        self.stages.pop()


@contextlib.contextmanager
def whole_arrays() -> Iterator[None]:
    """No chunks, as on a GPU."""
    defaults = chunks.chunk_size.__defaults__
    chunks.chunk_size.__defaults__ = (2**62,)
    try:
        yield
    finally:
        chunks.chunk_size.__defaults__ = defaults


def count_inference(graph: Graph, **arguments: Any) -> dict[str, Any]:
    """Operations of energy and forces, by pass and by stage of the forward pass."""
    model = EnergyModel(**arguments).to(graph.positions.dtype)
    positions = graph.positions.detach().clone().requires_grad_()
    graph = graph._replace(positions=positions)
    passes: dict[str, int] = {}
    with torch.autograd.set_multithreading_enabled(False), whole_arrays():
        with OperationCounter() as plan_counter:
            plan = model.network.plan(graph)
        with OperationCounter() as forward, forward.watch(model):
            energy = model.evaluate(graph, plan)
        with OperationCounter() as backward:
            torch.autograd.grad(energy, positions)
    passes["plan"] = plan_counter.counts.total()
    passes["forward"] = forward.counts.total()
    passes["backward"] = backward.counts.total()
    return {"total": sum(passes.values()), **passes, "stages": dict(forward.counts)}


def count_training(graph: Graph) -> dict[str, Any]:
    """Operations of a training step of energies and forces, without the optimizer."""
    model = EnergyModel().to(graph.positions.dtype).requires_grad_()
    positions = graph.positions.detach().clone().requires_grad_()
    graph = graph._replace(positions=positions)
    with torch.autograd.set_multithreading_enabled(False), whole_arrays():
        with OperationCounter() as forward:
            energy = model(graph)
        with OperationCounter() as backward:
            (gradient,) = torch.autograd.grad(energy, positions, create_graph=True)
        with OperationCounter() as second:
            (energy.square() + gradient.square().mean()).backward()
    passes = {"forward": forward, "backward": backward, "second derivative": second}
    counts = {name: counter.counts.total() for name, counter in passes.items()}
    return {"total": sum(counts.values()), **counts}


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
        "inference, with long range": count_inference(ions),
        "inference, without": count_inference(ions, long_range=False),
        "training": count_training(molecules),
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
