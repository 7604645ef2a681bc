"""Command line ``mtt-lorem``: what ``mtt`` does not have."""

import argparse

from . import convert, info


def main(arguments: list[str] | None = None) -> None:
    """Run ``mtt-lorem``.

    :param arguments: of the command line, by default those of the process
    """
    parser = argparse.ArgumentParser(
        prog="mtt-lorem", description="LOREM models for metatrain."
    )
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="command")
    info.add_subcommand(subparsers)
    convert.add_subcommands(subparsers)
    parsed = parser.parse_args(arguments)
    parsed.run(parsed)
