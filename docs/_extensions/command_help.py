"""What ``mtt-lorem`` says about itself: ``{command-help}`` and ``{command-help} info``.

``{other-commands}`` shows the sub-commands that the page has not described before.
"""

import contextlib
import io
import os
import re
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
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
        listed: list[str] = self.env.temp_data.setdefault("listed_commands", [])
        listed += self.arguments
        text = help_of(*self.arguments)
        return [nodes.literal_block(text, text, language="text")]


class OtherCommands(SphinxDirective):
    """The help of sub-commands that the page has not shown before."""

    def run(self) -> list[nodes.Node]:
        listed: list[str] = self.env.temp_data.get("listed_commands", [])
        texts = [help_of(name) for name in COMMAND.findall(help_of()) if name not in listed]
        return [nodes.literal_block(text, text, language="text") for text in texts]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-help", CommandHelp)
    app.add_directive("other-commands", OtherCommands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
