"""Counting operations that launch a kernel on a GPU."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
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
    def watch(self, model: Any, stages: list[str]) -> Iterator[None]:
        """Put operations of the stages of a model under their names."""
        handles = []
        for name in stages:
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


def count_inference(model: Any, graph: Graph, stages: list[str]) -> dict[str, Any]:
    """Operations of energy and forces, by pass and by stage of the forward pass.

    :param model: total energy of a graph, with a :class:`.Network` as ``network``
    :param stages: modules of the network, each after those that it is in
    """
    model.to(graph.positions.dtype).requires_grad_(False)
    positions = graph.positions.detach().clone().requires_grad_()
    graph = graph._replace(positions=positions)
    passes: dict[str, int] = {}
    with torch.autograd.set_multithreading_enabled(False), whole_arrays():
        with OperationCounter() as plan_counter:
            model.network.plan(graph)
        with OperationCounter() as forward, forward.watch(model, stages):
            energy = model(graph)
        with OperationCounter() as backward:
            torch.autograd.grad(energy, positions)
    passes["plan"] = plan_counter.counts.total()
    passes["forward"] = forward.counts.total() - passes["plan"]
    forward.counts["others"] -= passes["plan"]
    passes["backward"] = backward.counts.total()
    return {"total": sum(passes.values()), **passes, "stages": dict(forward.counts)}


def count_training(model: Any, graph: Graph) -> dict[str, Any]:
    """Operations of a training step of energies and forces, without the optimizer."""
    model.to(graph.positions.dtype).requires_grad_()
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
