"""``mtt-lorem from-jax``: a metatrain checkpoint from a model of lorem-jax."""

import argparse
from pathlib import Path

from ..lorem_jax.convert import Accuracy, from_jax


def add_subcommand(subparsers: "argparse._SubParsersAction") -> None:
    """Add ``from-jax`` to the command line."""
    parser = subparsers.add_parser(
        "from-jax",
        help="convert a checkpoint folder of lorem-jax to a metatrain checkpoint",
    )
    parser.add_argument("folder", type=Path, help="folder that contains 'model'")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("model.ckpt"), help="checkpoint"
    )
    parser.add_argument(
        "--accuracy",
        type=_accuracy,
        default=1e-6,
        help="of the long-range interactions, 'reference' for lorem-jax's own",
    )
    parser.add_argument(
        "--force", action="store_true", help="write over a checkpoint that is there"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> str:
    from_jax(args.folder, args.output, args.accuracy, args.force)
    return f"Wrote '{args.output}'"


def _accuracy(text: str) -> Accuracy:
    if text == "reference":
        return "reference"
    try:
        return float(text)
    except ValueError:
        message = f"'{text}' is neither a number nor 'reference'"
        raise argparse.ArgumentTypeError(message) from None
