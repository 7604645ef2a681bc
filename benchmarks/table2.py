"""Runtime table of the paper: energy and forces, without and with long range.

    python benchmarks/table2.py                               # all rows on the CPU
    python benchmarks/table2.py --device cuda
    python benchmarks/table2.py --jax-python jax-env/bin/python   # lorem-jax beside ours
    python benchmarks/table2.py --realistic
    python benchmarks/table2.py --compile 64     # torch.compile, a minute for each model
    python benchmarks/table2.py --messages 1     # a message-passing step within the cutoff

Neighbor lists are made beforehand. `eager` and `script`, which is what an exported file
holds, lay out neighbors and choose k-vectors in each call; `compiled` and, on a GPU,
`captured` (a CUDA graph) do so once, as lorem-jax does when it makes its batch. Forces of
all of them are compared. Each time is the median of at least ten calls after three that do
not count; each row runs both codes one after the other, in processes of their own for the
sake of their memory.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import (
    EnergyModel,
    Result,
    captured,
    compiled,
    energy_and_forces,
    make_graph,
    median_time,
    peak_memory,
    write_results,
)
from structures import PAPER, crystal, realistic

from metatrain_lorem.network.fixed_tables import with_fixed_tables


KINDS = ("sr", "lr")
VARIANTS = ("eager", "script", "compiled", "captured")


def main() -> None:
    arguments = parse_arguments()
    if arguments.row is not None:
        print(json.dumps(measure_row(arguments)))
        return
    names = [f"{size} {name}" for size, name in PAPER]
    if arguments.realistic:
        names = list(realistic())
    if arguments.only:
        names = [name for name in names if arguments.only in name]
    rows = []
    print(header(arguments))
    for name in names:
        rows.append(measure_both(name, arguments))
        print(line(rows[-1], arguments), flush=True)
    kind = "realistic" if arguments.realistic else "table2"
    if arguments.messages:
        kind += f"_messages{arguments.messages}"
    write_results(f"{kind}_{arguments.device}", arguments.device, rows)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--realistic", action="store_true", help="structures of users")
    parser.add_argument("--jax-python", help="interpreter that can import lorem")
    parser.add_argument("--jax-repeats", type=int, default=10)
    parser.add_argument("--jax-timeout", type=float, default=1200.0, help="seconds")
    parser.add_argument("--jax-pairs", type=int, default=2**19, help="at most")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--compile", type=int, default=0, help="up to this number of atoms")
    parser.add_argument("--messages", type=int, default=0, help="message-passing steps")
    parser.add_argument("--only", help="rows whose name contains this text")
    parser.add_argument("--jax-rows", nargs="+", help="rows for lorem-jax; default: all")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser.parse_args()


def structure(name: str) -> Any:
    if name in realistic():
        return realistic()[name]
    size, crystal_name = name.split(" ", 1)
    return crystal(int(size), crystal_name)


def measure_row(arguments: argparse.Namespace) -> dict[str, Any]:
    """Times in milliseconds of our code; runs in a process of its own."""
    atoms = structure(arguments.row)
    device = arguments.device
    graph = make_graph(atoms, 5.0, device, torch.float32)
    before = peak_memory()
    row: dict[str, Any] = {
        "name": arguments.row,
        "atoms": len(atoms),
        "pairs": len(graph.centers),
        "calls": arguments.repeats,
    }
    for kind in KINDS:
        model = EnergyModel(
            long_range=kind == "lr", num_message_passing=arguments.messages
        ).to(device, torch.float32)
        eager = partial(energy_and_forces, model, graph)
        expected = eager()[1]
        variants: dict[str, Callable[[], Callable[[], Result]]] = {
            "eager": lambda eager=eager: eager,
            "script": lambda m=model: partial(
                energy_and_forces,
                torch.jit.script(with_fixed_tables(m, sorted(set(atoms.numbers.tolist())))),
                graph,
            ),
        }
        if len(atoms) <= arguments.compile:
            variants["compiled"] = partial(compiled, model, graph)
        if device == "cuda":
            variants["captured"] = partial(captured, model, graph)
        for variant, prepare in variants.items():
            try:
                function = prepare()
                error = float((function()[1] - expected).abs().max() / expected.abs().max())
                seconds = median_time(function, device, arguments.repeats, warm_up=3)
            except RuntimeError as failure:
                row[f"{kind} {variant} failure"] = str(failure)[:300]
                continue
            if not error < 1e-3:
                raise RuntimeError(f"{kind} {variant}: forces differ by {error:.1e}")
            row[f"{kind} {variant}"] = 1e3 * seconds
    row["MiB"] = peak_memory() - before
    if device == "cuda":
        row["MiB"] = torch.cuda.max_memory_allocated() / 2**20
    return row


def measure_both(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--row", name, "--device", arguments.device]
    command += ["--compile", str(arguments.compile), "--repeats", str(arguments.repeats)]
    command += ["--messages", str(arguments.messages)]
    row = run(command, arguments)
    if "failure" in row:
        raise RuntimeError(f"{name}: {row['failure']}")
    for kind in KINDS if arguments.jax_python else ():
        if arguments.jax_rows and name not in arguments.jax_rows:
            row[f"{kind} jax"] = None
            continue
        if row["pairs"] > arguments.jax_pairs:
            # 35 KiB per pair, of which lorem-jax makes a power of two: here, 18 GiB
            row[f"{kind} jax"] = None
            row[f"{kind} jax failure"] = f"more than {arguments.jax_pairs} pairs"
            continue
        theirs = run(
            [
                arguments.jax_python,
                str(Path(__file__).with_name("lorem_jax_time.py")),
                *(name, kind, str(arguments.jax_repeats), str(arguments.messages)),
            ],
            arguments,
        )
        row[f"{kind} jax"] = theirs.get("ms")
        row[f"{kind} jax calls"] = theirs.get("calls")
        row[f"{kind} jax MiB"] = theirs.get("MiB")
        row[f"{kind} jax failure"] = theirs.get("failure")
    return row


def run(command: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """The dictionary that a command prints, or the reason of its failure."""
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=arguments.jax_timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"more than {arguments.jax_timeout:.0f} s"}
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["killed"])[-1]
        return {"failure": f"exit {result.returncode}: {reason[:120]}"}
    return json.loads(result.stdout.strip().splitlines()[-1])


def header(arguments: argparse.Namespace) -> str:
    text = f"{'row':>22} {'pairs':>9} | {'SR ms':>8} {'SR+LR':>8} {'LR-SR':>7} {'%':>5}"
    text += f" | {'paper':>6} {'paper':>6}"
    if arguments.jax_python:
        text += f" | {'jax SR':>8} {'jax LR':>8} {'x SR':>6} {'x LR':>6}"
    return text


def line(row: dict[str, Any], arguments: argparse.Namespace) -> str:
    sr, lr = (min(row[f"{k} {v}"] for v in VARIANTS if f"{k} {v}" in row) for k in KINDS)
    size, _, name = row["name"].partition(" ")
    paper = PAPER.get((int(size), name), ("", "")) if size.isdigit() else ("", "")
    text = f"{row['name']:>22} {row['pairs']:9d} | {sr:8.1f} {lr:8.1f} {lr - sr:7.1f} "
    text += f"{100 * (lr - sr) / sr:5.0f} | {paper[0]:>6} {paper[1]:>6}"
    if arguments.jax_python:
        theirs = [row["sr jax"], row["lr jax"]]
        shown = [f"{t:8.0f}" if t else f"{'--':>8}" for t in theirs]
        ratios = [
            f"{t / o:6.1f}" if t else f"{'':>6}"
            for t, o in zip(theirs, (sr, lr), strict=True)
        ]
        text += f" | {' '.join(shown)} {' '.join(ratios)}"
    return text


if __name__ == "__main__":
    main()
