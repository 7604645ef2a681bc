"""Command line ``mtt-lorem``: what ``mtt`` does not have."""

import argparse

from ase.io.formats import UnknownFileTypeError

from .commands import charges, from_jax, info, to_jax


def main(arguments: list[str] | None = None) -> None:
    """Run ``mtt-lorem``; what is wrong is told without a traceback.

    :param arguments: of the command line, by default those of the process
    """
    parser = argparse.ArgumentParser(
        prog="mtt-lorem", description="LOREM models for metatrain."
    )
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="command")
    info.add_subcommand(subparsers)
    charges.add_subcommand(subparsers)
    from_jax.add_subcommand(subparsers)
    to_jax.add_subcommand(subparsers)
    parsed = parser.parse_args(arguments)
    try:
        print(parsed.run(parsed))
    except (OSError, RuntimeError, UnknownFileTypeError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
