"""How far from the machine's limits: operations, bytes and time of three structures.

    python benchmarks/roofline.py

Ceilings are measured: matrix products of the shapes that occur, and copies of arrays beyond
the caches. Operations are those of the algorithm (energy and forces: twice the forward ones
again for the backward pass); bytes are those of arrays that the backward pass needs,
written once and read once.
"""

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
from structures import crystal, water_box
from torch.profiler import ProfilerActivity, profile

from metatrain_lorem.graph import gather_neighborhoods


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
        f"{'structure':>22} {'GFLOP':>7} {'GB':>6} {'floor ms':>9} {'ms':>8} {'ratio':>6}"
    )
    rows: list[dict[str, Any]] = [{"flops": peak, "bytes per s": bandwidth}]
    for name, make in STRUCTURES.items():
        row = measure(make(), peak, bandwidth)
        rows.append({"name": name, **row})
        print(
            f"{name:>22} {row['GFLOP']:7.2f} {row['GB']:6.2f} {row['floor ms']:9.1f} "
            f"{row['ms']:8.1f} {row['floor ms'] / row['ms']:6.2f}",
            flush=True,
        )
        for step, milliseconds in row["kernels"].items():
            print(f"{'':>24}{milliseconds:8.1f} ms  {step}")
    write_results("roofline_cpu", "cpu", rows)


def ceilings() -> tuple[float, float]:
    """Operations and bytes per second."""
    a, b = torch.randn(C, 512, 1225), torch.randn(C, 1225, EVEN)
    seconds = median_time(lambda: torch.bmm(a, b), repeats=20)
    big = torch.randn(64 * 2**20 // 4)
    copy = torch.empty_like(big)
    copies = median_time(lambda: copy.copy_(big), repeats=20)
    return 2 * C * 512 * 1225 * EVEN / seconds, 2 * 4 * big.numel() / copies


def measure(atoms: Atoms, peak: float, bandwidth: float) -> dict[str, Any]:
    graph = make_graph(atoms, 5.0, "cpu", torch.float32)
    rows = gather_neighborhoods(graph, 5.0)
    slots, atoms_count, groups = rows.mask.numel(), len(atoms), rows.mask.shape[0]
    density = slots * (M * K + M * (7 + 13))
    coupling = (EVEN**2 + ODD**2) * EVEN + 2 * EVEN * ODD * ODD
    tables = groups * K * (D + M * C)
    updates = 3 * (2 * D * 2 * D + 2 * D * 2 * D) + 3 * 2 * D * D
    flops = 3 * 2 * (density + tables + atoms_count * (C * coupling + updates))
    # Harmonics with their two factors, radial functions; outer products of components
    numbers = slots * (3 * M + K) + atoms_count * C * M * M
    model = EnergyModel(long_range=False)
    seconds = median_time(lambda: energy_and_forces(model, graph))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        energy_and_forces(model, graph)
    kernels = sorted(profiler.key_averages(), key=lambda k: -k.self_cpu_time_total)[:6]
    gigabytes = 2 * 4 * numbers / 1e9
    return {
        "GFLOP": flops / 1e9,
        "GB": gigabytes,
        "floor ms": 1e3 * max(flops / peak, 1e9 * gigabytes / bandwidth),
        "ms": 1e3 * seconds,
        "kernels": {k.key: k.self_cpu_time_total / 1e3 for k in kernels},
    }


if __name__ == "__main__":
    main()
