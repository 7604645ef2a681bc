"""What ``mtt-lorem`` says about itself: ``{command-help}`` and ``{command-help} info``."""

import contextlib
import io
import os
import re
import sys
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from metatrain_lorem.cli import main


COMMAND = re.compile(r"^    ([a-z][a-z-]+)\b", re.MULTILINE)
DEFAULTS = {"COLUMNS": "80", "NO_COLOR": "1", "PYTHON_COLORS": "0"}


def help_of(*arguments: str) -> str:
    """The output of ``mtt-lorem ... --help``."""
    output = io.StringIO()
    with (
        mock.patch.dict(os.environ, DEFAULTS),
        contextlib.redirect_stdout(output),
        contextlib.suppress(SystemExit),
    ):
        main([*arguments, "--help"])
    return output.getvalue().rstrip()


class CommandHelp(SphinxDirective):
    """The help of a sub-command, or of ``mtt-lorem``."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        for name, module in sys.modules.items():
            if name.startswith("metatrain_lorem.c") and module.__file__:
                self.env.note_dependency(module.__file__)
        used = self.env.metadata[self.env.docname].setdefault("commands", [])
        used += self.arguments
        text = help_of(*self.arguments)
        return [nodes.literal_block(text, text, language="text")]


def check_all_listed(app: Sphinx, _: object) -> None:
    """Each sub-command is described.

    :raises ExtensionError: naming those that are not
    """
    listed = [c for data in app.env.metadata.values() for c in data.get("commands", [])]
    known = COMMAND.findall(help_of())
    if sorted(listed) != sorted(known):
        wrong = sorted(set(known) ^ set(listed))
        raise ExtensionError(f"commands that are not described, or not there: {wrong}")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-help", CommandHelp)
    app.connect("env-check-consistency", check_all_listed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
