"""Measuring: graphs, medians, memory, and what machine it was."""

import contextlib
import json
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from ase import Atoms

from metatrain_lorem.coulomb.neighbors import neighbor_list
from metatrain_lorem.graph import Graph
from metatrain_lorem.network.lorem import Network, Plan
from metatrain_lorem.network.readout import scalar_readout


RESULTS = Path(__file__).parent / "results"
Result = tuple[torch.Tensor, torch.Tensor]  # energy and forces


class EnergyModel(torch.nn.Module):
    """Network and energy readout at the defaults of the paper, for inference."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = Network(**arguments)
        self.readout = scalar_readout(self.network.sizes)
        self.requires_grad_(False)

    def forward(self, graph: Graph) -> torch.Tensor:
        """Total energy of all systems."""
        return self.evaluate(graph, self.network.plan(graph))

    def evaluate(self, graph: Graph, plan: Plan) -> torch.Tensor:
        nodes = self.network.evaluate(graph, plan)
        features = self.readout.features(nodes.scalars)
        return self.readout(features, nodes.spherical)[0].sum()


def make_graph(atoms: Atoms, cutoff: float, device: str, dtype: torch.dtype) -> Graph:
    positions = torch.tensor(atoms.positions, dtype=dtype, device=device)
    cell = torch.tensor(atoms.cell.array, dtype=dtype, device=device)
    pbc = torch.tensor(atoms.pbc, device=device)
    cell = cell * pbc.unsqueeze(1)
    pairs = neighbor_list(positions, cell, pbc, cutoff)
    species = torch.tensor(atoms.numbers, dtype=torch.int64, device=device)
    systems = torch.zeros_like(species)
    return Graph(positions, species, cell.unsqueeze(0), pbc.unsqueeze(0), systems, *pairs)


def energy_and_forces(model: Callable[[Graph], torch.Tensor], graph: Graph) -> Result:
    positions = graph.positions.detach().clone().requires_grad_()
    energy = model(graph._replace(positions=positions))
    (gradient,) = torch.autograd.grad(energy, positions)
    return energy.detach(), -gradient


def compiled(model: EnergyModel, graph: Graph) -> Callable[[], Result]:
    """Energy and forces by ``torch.compile``, which makes CUDA graphs on a GPU.

    The plan is made once, as it is when neighbor lists are kept for some steps.
    """
    # torch 2.13: vectorized ends of loops write beyond the ends of arrays.
    torch._inductor.config.cpp.enable_loop_tail_vec = False
    mode = "reduce-overhead" if graph.positions.is_cuda else None
    evaluate = torch.compile(model.evaluate, fullgraph=True, mode=mode)
    plan = model.network.plan(graph)
    return lambda: energy_and_forces(lambda moved: evaluate(moved, plan), graph)


def captured(model: EnergyModel, graph: Graph) -> Callable[[], Result]:
    """Energy and forces as one CUDA graph, without compilation; plan as above."""
    plan = model.network.plan(graph)

    def run() -> Result:
        return energy_and_forces(lambda moved: model.evaluate(moved, plan), graph)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    cuda_graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(cuda_graph):
        result = run()

    def replay() -> Result:
        cuda_graph.replay()
        return result

    return replay


def median_time(
    function: Callable[[], Any], device: str = "cpu", repeats: int = 10, warm_up: int = 3
) -> float:
    """Median wall time in seconds of ``repeats`` calls."""
    times = []
    for repeat in range(warm_up + repeats):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        if repeat >= warm_up:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_memory() -> float:
    """Highest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine(device: str) -> dict[str, Any]:
    """What a result depends on: machine, versions, commit."""
    packages = ["torch", "metatrain", "metatomic-torch", "lorem-jax", "jax", "torch-pme"]
    versions = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    name = _processor()
    if device == "cuda":
        name = torch.cuda.get_device_name()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor()


def write_results(name: str, device: str, rows: list[dict[str, Any]]) -> None:
    """Write ``results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(device), "rows": rows}, indent=1))
    print(f"written to {path}")
