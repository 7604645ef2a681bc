"""``mtt-lorem info``: the long-range part of a model, for a structure."""

import argparse
from pathlib import Path
from typing import Any

import ase
import torch

from ..coulomb.estimate import Estimate, estimate, plan_of_one
from ..coulomb.kvectors import KBox
from ..coulomb.solver import CoulombSolver
from ..exported_files import read_exported
from .check import compare
from .inputs import load_without_extensions, read_frame


METHODS = {
    "open": "sum over all pairs, exact",
    "ewald": "Ewald sum",
    "mesh": "Ewald sum on a mesh",
}


def describe(
    model_path: str | Path,
    structure_path: str | Path,
    index: str = "0",
    check: bool = False,
) -> str:
    """What the long-range part of an exported model will do with a structure.

    :param model_path: file of ``mtt export``, of LOREM or of `llpr` around it
    :param structure_path: any file that ASE reads
    :param index: frame of that file, in ASE's notation
    :param check: compare with torch-pme, see :mod:`.check`; without, nothing of the
        model is executed
    :raises ValueError: if the model is not a LOREM model, or the structure cannot be
        treated, saying why
    """
    exported = read_exported(model_path)
    lorem = getattr(exported.module, "model", exported.module)
    network = getattr(lorem, "network", None)
    if network is None or not hasattr(network, "long_range"):
        raise ValueError(f"'{model_path}' is not a LOREM model")
    atoms = read_frame(structure_path, index)
    lines = [f"structure         {len(atoms)} atoms, periodic {_directions(atoms.pbc)}"]
    if network.long_range is None:
        return "\n".join([*lines, "long range        none in this model"])
    solver = _solver(network.long_range.coulomb)
    num_columns = network.long_range.charges.num_columns
    is_single = network.species.weight == "FloatStorage"
    dtype = torch.float32 if is_single else torch.float64
    positions = torch.tensor(atoms.positions, dtype=dtype)
    cell = torch.tensor(atoms.cell.array, dtype=dtype)
    plan = plan_of_one(solver, positions, cell, torch.tensor(atoms.pbc), num_columns)
    result = estimate(solver, plan, num_columns, positions.element_size())
    lines += _lines(result, solver, num_columns)
    if check:
        lines += _check(str(model_path), atoms)
    return "\n".join(lines)


def _solver(attributes: Any) -> CoulombSolver:
    """The solver of an exported model, made anew from its settings."""
    planner = attributes.planner
    split = getattr(attributes, "split", planner)  # of earlier versions, the planner
    is_compact = hasattr(split, "largest_k")
    wavelength = getattr(planner.kvectors, "wavelength", None)
    kvectors = None if wavelength is None else KBox(split.smearing, wavelength)
    solver = CoulombSolver(
        attributes.cutoff,
        None if is_compact else split.smearing,
        split.accuracy,
        memory=2**62,  # TorchScript keeps all arrays for the backward pass
        method=planner.method,
        kvectors=kvectors,
        vacuum=attributes.vacuum,
    )
    # Models of earlier versions have the same range for all systems.
    solver.planner.length_scale.is_free &= hasattr(planner, "length_scale")
    return solver


def _check(model_path: str, atoms: ase.Atoms) -> list[str]:
    """Run the model: TorchScript, but no code from elsewhere."""
    model = load_without_extensions(model_path)
    lorem = getattr(model.module, "model", model.module)
    return compare(model, lorem.network.long_range.coulomb, atoms)


def _lines(result: Estimate, solver: torch.nn.Module, num_columns: int) -> list[str]:
    lines = [f"method            {METHODS[result.method]}"]
    if result.method != "open":
        width = solver.split.smearing
        scale, pairs = result.reach / solver.cutoff, f"cutoff {solver.cutoff:g}"
        if scale > 1:
            pairs = f"all pairs up to {result.reach:.4g}"
        lines.append(f"real space        {pairs}, smearing {scale * width:.4g}")
    if result.method == "ewald":
        lines.append(f"k-vectors         {result.num_k} (half space)")
    if result.method == "mesh":
        lines.append(f"mesh              {' x '.join(str(n) for n in result.mesh)}")
    if result.method != "open":
        lines.append(
            f"relative errors   {result.real_space_error:.1e} real space, "
            f"{result.reciprocal_error:.1e} reciprocal space"
        )
    memory = result.memory / 2**20
    lines.append(f"memory            {memory:.0f} MiB, {num_columns} charges per atom")
    return lines


def _directions(pbc: list[bool]) -> str:
    names = [name for name, periodic in zip("abc", pbc) if periodic]
    return "along " + ", ".join(names) if names else "in no direction"


def add_subcommand(subparsers: "argparse._SubParsersAction") -> None:
    """Add ``info`` to the command line."""
    parser = subparsers.add_parser(
        "info",
        help="method, errors and memory of the long-range part, for a structure",
    )
    parser.add_argument("model", help="model from `mtt export`")
    parser.add_argument("structure", help="file that ASE reads")
    parser.add_argument("--index", default="0", help="frame of the file (default: first)")
    parser.add_argument(
        "--check", action="store_true", help="compare with a converged sum of torch-pme"
    )
    parser.set_defaults(
        run=lambda args: describe(args.model, args.structure, args.index, args.check)
    )
