"""``mtt-lorem to-jax``: a model for lorem-jax from a metatrain checkpoint."""

import argparse
from pathlib import Path

from ..lorem_jax.convert import to_jax


def add_subcommand(subparsers: "argparse._SubParsersAction") -> None:
    """Add ``to-jax`` to the command line."""
    parser = subparsers.add_parser(
        "to-jax",
        help="convert a metatrain checkpoint of LOREM to a folder for lorem-jax",
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder that will be written"
    )
    parser.add_argument(
        "--force", action="store_true", help="write over a model that is there"
    )
    parser.add_argument("--target", help="energy to convert, if there are several")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> str:
    to_jax(args.checkpoint, args.output, args.target, args.force)
    return f"Wrote '{args.output}'"
