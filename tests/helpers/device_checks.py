"""What `test_devices` checks in a process that knows one device more."""

import copy

import torch
from helpers.energy_model import CUTOFF, EnergyModel, evaluate, trained_parameters
from helpers.systems import Structure, make_graph

from metatrain_lorem.graph import Graph


def check_same_numbers(model: EnergyModel, batch: list[Structure]) -> None:
    """Energies and derivatives, and the gradient of a loss that holds all of them."""
    from helpers.remote_device import remote_device

    graph = make_graph(batch, CUTOFF)
    expected = results_and_gradients(copy.deepcopy(model), graph)
    with remote_device() as device:
        results = results_and_gradients(model.to(device), to(graph, device))
        for values in results:
            assert values.device.type == device
        results = [values.cpu() for values in results]
    for value, other in zip(results, expected, strict=True):
        torch.testing.assert_close(value, other, rtol=1e-11, atol=1e-11)


def check_waits(model: EnergyModel, batch: list[Structure]) -> None:
    """A few make the plan; a mesh wants to know how many atoms its fullest block has."""
    from helpers.remote_device import remote_device, transfers

    graph = make_graph(batch, CUTOFF)
    with remote_device() as device:
        model, graph = model.to(device), to(graph, device)
        with transfers() as of_plan:
            plan = model.network.plan(graph)
        graph.positions.requires_grad_()
        with transfers() as of_evaluation:
            nodes = model.network.evaluate(graph, plan)
            energies = model.readout(model.readout.features(nodes.scalars), nodes.spherical)
            torch.autograd.grad(energies[0].sum(), graph.positions)
    reads = [line for line in of_plan if line.startswith("read")]
    assert 1 <= len(reads) <= 7, "\n".join(reads)
    unexpected = [line for line in of_evaluation if "read in block_slots" not in line]
    assert not unexpected, "\n".join(unexpected)


def results_and_gradients(model: EnergyModel, graph: Graph) -> list[torch.Tensor]:
    results = evaluate(model, graph, create_graph=True)
    loss = sum(values.pow(2).sum() for values in results)
    gradients = torch.autograd.grad(loss, trained_parameters(model), materialize_grads=True)
    return [*(values.detach() for values in results), *gradients]


def to(graph: Graph, device: str) -> Graph:
    return Graph(*[None if values is None else values.to(device) for values in graph])
