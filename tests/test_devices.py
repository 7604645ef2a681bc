"""No operation mixes two devices, and what follows the plan never waits for one.

Checked on a pretended device, for machines without a GPU.
"""

import copy
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from energy_model import (
    CUTOFF,
    EnergyModel,
    evaluate,
    trained_parameters,
)
from systems import STRUCTURES, Structure, make_graph, mixed
from torch.utils import backend_registration

from metatrain_lorem.graph import Graph


pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no devices made in Python",
)

BATCHES = {name: [function()] for name, function in STRUCTURES.items()}
BATCHES["mixed"] = mixed()


def reference_method() -> EnergyModel:
    return EnergyModel(accuracy=0.0)


def messages() -> EnergyModel:
    return EnergyModel(num_message_passing=1)


def short_range() -> EnergyModel:
    return EnergyModel(long_range=False)


def mesh() -> EnergyModel:
    model = EnergyModel()
    model.network.long_range.coulomb.method = "mesh"
    return model


MODELS = [EnergyModel, messages, short_range, reference_method, mesh]


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    """A process that knows one device more."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("make_model", MODELS, ids=lambda function: function.__name__)
def test_same_numbers(process, make_model, batch):
    process.submit(check_same_numbers, make_model(), BATCHES[batch]).result()


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("make_model", MODELS, ids=lambda function: function.__name__)
def test_waits(process, make_model, batch):
    process.submit(check_waits, make_model(), BATCHES[batch]).result()


def check_same_numbers(model: EnergyModel, batch: list[Structure]) -> None:
    """Energies and derivatives, and the gradient of a loss that holds all of them."""
    from remote_device import remote_device

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
    from remote_device import remote_device, transfers

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
    return Graph(*[values.to(device) for values in graph])
