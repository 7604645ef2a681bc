"""How far from the machine's limits: operations, bytes and time of three structures.

    OMP_NUM_THREADS=1 python benchmarks/roofline.py

Ceilings are measured: large matrix products, and copies of arrays beyond the caches.
Operations are those of the algorithm without long range (energy and forces: the forward
ones, and twice as many for the backward pass); bytes are those of arrays that the backward
pass needs, written once and read once. Kernels are those of ``operations.py``, with long
range. Steps of the data flow are measured alone, each with its derivative in the features
that it gets.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from ase import Atoms
from measure import (
    EnergyModel,
    energy_and_forces,
    make_graph,
    median_time,
    write_results,
)
from operations import count_inference
from structures import crystal, water_box

from metatrain_lorem.coulomb import Pairs
from metatrain_lorem.graph import (
    Graph,
    gather_neighborhoods,
    geometry_of,
    neighbor_vectors,
)
from metatrain_lorem.ops.safe_norm import safe_norm


STRUCTURES = {
    "64 NaCl cubic": lambda: crystal(64, "NaCl cubic"),
    "512 NaCl cubic": lambda: crystal(512, "NaCl cubic"),
    "512 rock salt, 2.8 A": lambda: crystal(512, "NaCl cubic", 2.8),
    "192 water": water_box,
}
# Defaults of the model: components, channels, radial functions, scalar features
M, C, K, D = 49, 8, 32, 128
EVEN, ODD = 28, 21  # components of even and odd degree


def main() -> None:
    peak, bandwidth = ceilings()
    print(f"ceilings: {peak / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s")
    print(
        f"{'structure':>22} {'GFLOP':>7} {'GB':>6} {'floor ms':>9} {'ms':>8} "
        f"{'ratio':>6} {'kernels':>8}"
    )
    rows: list[dict[str, Any]] = [{"flops": peak, "bytes per s": bandwidth}]
    for name, make in STRUCTURES.items():
        row = measure(make(), peak, bandwidth)
        rows.append({"name": name, **row})
        print(
            f"{name:>22} {row['GFLOP']:7.2f} {row['GB']:6.2f} {row['floor ms']:9.1f} "
            f"{row['ms']:8.1f} {row['floor ms'] / row['ms']:6.2f} {row['kernels']:8d}",
            flush=True,
        )
        for step, milliseconds in row["steps"].items():
            print(f"{'':>24}{milliseconds:8.2f} ms  {step}")
    write_results("roofline_cpu", "cpu", rows)


def ceilings() -> tuple[float, float]:
    """Operations and bytes per second."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    seconds = median_time(lambda: a @ b, repeats=20)
    big = torch.randn(64 * 2**20 // 4)
    copy = torch.empty_like(big)
    copies = median_time(lambda: copy.copy_(big), repeats=20)
    return 2 * 1024**3 / seconds, 2 * 4 * big.numel() / copies


def measure(atoms: Atoms, peak: float, bandwidth: float) -> dict[str, Any]:
    graph = make_graph(atoms, 5.0, "cpu", torch.float32)
    mask = gather_neighborhoods(graph).mask
    slots, atoms_count, groups = mask.numel(), len(atoms), mask.shape[0]
    density = slots * (M * K + M * (7 + 13))
    coupling = (EVEN**2 + ODD**2) * EVEN + 2 * EVEN * ODD * ODD
    tables = groups * K * (D + M * C)
    updates = 3 * (2 * D * 2 * D + 2 * D * 2 * D) + 3 * 2 * D * D
    flops = 3 * 2 * (density + tables + atoms_count * (C * coupling + updates))
    # Harmonics with their two factors, radial functions; outer products of components
    numbers = slots * (3 * M + K) + atoms_count * C * M * M
    gigabytes = 2 * 4 * numbers / 1e9
    seconds = {
        kind: median_time(partial(energy_and_forces, EnergyModel(long_range=on), graph))
        for kind, on in [("ms", False), ("ms with long range", True)]
    }
    return {
        "GFLOP": flops / 1e9,
        "GB": gigabytes,
        "floor ms": 1e3 * max(flops / peak, 1e9 * gigabytes / bandwidth),
        **{kind: 1e3 * value for kind, value in seconds.items()},
        "kernels": count_inference(graph)["total"],
        "steps": step_times(graph),
    }


def step_times(graph: Graph) -> dict[str, float]:
    """Milliseconds of each step of the data flow, with its derivative in its inputs."""
    model = EnergyModel()
    network = model.network
    long_range = network.long_range
    plan = network.plan(graph)
    neighborhoods = plan.neighborhoods
    geometry = geometry_of(graph, neighborhoods, network.cutoff)
    modules = {
        "update by density": network.density_update,
        "coupling": network.couple,
        "norms": network.norms,
        "update by norms": network.norms_update,
        "charges": long_range.charges,
        "products with potentials": long_range.product,
        "update by potentials": long_range.update,
    }
    # What each module gets in a call of the model
    steps = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda module, inputs, name=name: steps.update({name: (module, inputs)})
        )
        for name, module in modules.items()
    ]
    charges = network(graph).charges
    for hook in hooks:
        hook.remove()
    steps["vectors"] = (
        lambda x: neighbor_vectors(
            graph._replace(positions=x), neighborhoods, network.cutoff
        ),
        (graph.positions,),
    )
    steps["sums over neighbors"] = (
        lambda x: network.sum_neighbors(
            geometry._replace(vectors=x, distances=safe_norm(x))
        ),
        (geometry.vectors,),
    )
    steps["potentials"] = (
        lambda r, q: long_range.coulomb.evaluate(
            graph.positions,
            q,
            graph.cells,
            Pairs(neighborhoods.centers, neighborhoods.neighbors, r),
            plan.coulomb,
        ),
        (geometry.distances, charges),
    )
    seconds = {"plan": median_time(lambda: network.plan(graph))}
    for name, step in steps.items():
        seconds[name] = median_time(partial(with_gradient, *step))
    return {name: 1e3 * value for name, value in seconds.items()}


def with_gradient(function: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
    """Call a function, and differentiate its outputs in all features that it gets."""
    features = [
        isinstance(x, torch.Tensor)
        and x.is_floating_point()
        and not isinstance(x, torch.nn.Parameter)
        for x in inputs
    ]
    inputs = tuple(
        x.detach().requires_grad_() if is_feature else x
        for x, is_feature in zip(inputs, features, strict=True)
    )
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    wanted = [x for x, is_feature in zip(inputs, features, strict=True) if is_feature]
    torch.autograd.grad(
        outputs, wanted, [torch.ones_like(y) for y in outputs], allow_unused=True
    )


if __name__ == "__main__":
    main()
