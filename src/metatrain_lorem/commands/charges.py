"""``mtt-lorem charges``: the charges that atoms exchange, as a page and a plot."""

import argparse
from pathlib import Path
from typing import Any

import ase
import ase.data
import numpy as np

from ..exported_files import read_exported
from .charges_page import page_of
from .charges_plot import plot_charges
from .check import CHARGES, charges_of_model
from .inputs import load_without_extensions, read_frames


def write_charges(
    model_path: str | Path,
    structure_path: str | Path,
    output: str | Path,
    index: str = ":",
    force: bool = False,
) -> list[Path]:
    """Write a page of chemiscope, and beside it a plot (``.svg``).

    :param model_path: file of ``mtt export``, of LOREM with long-range interactions
    :param structure_path: any file that ASE reads
    :param output: the page, ``.html``
    :param index: frames of that file, in ASE's notation
    :param force: write over files that are there
    :return: what was written
    :raises ValueError: if the model has no charges, or cannot treat a structure
    :raises FileExistsError: for a page or a plot that is there
    :raises RuntimeError: without chemiscope or matplotlib
    """
    page, plot = Path(output), Path(output).with_suffix(".svg")
    if page.suffix != ".html":
        raise ValueError(f"the page '{page}' has to end with '.html'")
    for path in (page, plot):
        if path.exists() and not force:
            raise FileExistsError(f"'{path}' is there: take another name, or --force")
    frames = read_frames(structure_path, index)
    charges = _charges(str(model_path), frames)
    title = f"{Path(model_path).name}, {Path(structure_path).name}"
    text = page_of(frames, charges, title, plot.name)
    figure = plot_charges(frames, charges, title)
    page.write_text(text, encoding="utf-8")
    figure.savefig(plot)
    return [page, plot]


def _charges(model_path: str, frames: list[ase.Atoms]) -> list[np.ndarray]:
    """Charges of each frame, ``[N, C]``."""
    read_exported(model_path)  # says what is wrong with the file
    model = load_without_extensions(model_path)
    capabilities: Any = model.capabilities()
    if CHARGES not in capabilities.outputs:
        raise ValueError(
            f"'{model_path}' has no charges: it is no LOREM model, or one without long "
            "range"
        )
    known = set(capabilities.atomic_types)
    for number, atoms in enumerate(frames):
        unknown = sorted(set(atoms.numbers.tolist()) - known)
        if unknown:
            names = ", ".join(ase.data.chemical_symbols[z] for z in unknown)
            raise ValueError(f"the model does not know {names} of frame {number} (from 0)")
    return [charges_of_model(model, atoms).double().numpy() for atoms in frames]


def add_subcommand(subparsers: "argparse._SubParsersAction") -> None:
    """Add ``charges`` to the command line."""
    parser = subparsers.add_parser(
        "charges", help="a page and a plot of the charges that atoms exchange"
    )
    parser.add_argument("model", help="model from `mtt export`")
    parser.add_argument("structures", help="file that ASE reads")
    parser.add_argument(
        *("-o", "--output"),
        default="charges.html",
        help="the page; the plot has the same name with .svg (default: charges.html)",
    )
    parser.add_argument("--index", default=":", help="frames of the file (default: all)")
    parser.add_argument("--force", action="store_true", help="write over files")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> str:
    paths = write_charges(args.model, args.structures, args.output, args.index, args.force)
    return "Wrote " + " and ".join(f"'{path}'" for path in paths)
