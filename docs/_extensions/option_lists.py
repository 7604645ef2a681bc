"""Options of ``documentation.py``, read from its text.

``.. options:: model cutoff max_degree`` lists some of them, ``.. other-options::`` those
that the page has not listed before.
"""

import ast
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective


FILE = Path(__file__).parents[2] / "src" / "metatrain_lorem" / "documentation.py"
MANUAL = "https://docs.metatensor.org/metatrain/latest/concepts/"
# Places of metatrain's manual that docstrings refer to
LABELS = {
    ":ref:`label_fine_tuning_concept`": f"`Fine-tuning <{MANUAL}fine-tuning.html>`__",
    ":ref:`loss-functions`": f"`Loss functions <{MANUAL}loss-functions.html>`__",
    ":ref:`scale-targets`": f"`Target scaling <{MANUAL}scale-targets.html>`__",
}


class Option(NamedTuple):
    """A hyper-parameter."""

    path: str  # ``model.long_range.enable``
    type: str
    default: str | None  # none if it need not be given
    text: str  # reStructuredText


def read_options() -> dict[str, Option]:
    """All options by their paths, in the order of the file."""
    source = FILE.read_text()
    tree = ast.parse(source)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    found = [
        *_of_class(source, classes, "ModelHypers", "model"),
        *_of_class(source, classes, "TrainerHypers", "training"),
    ]
    return {option.path: option for option in found}


def _of_class(
    source: str, classes: dict[str, ast.ClassDef], name: str, path: str
) -> list[Option]:
    options: list[Option] = []
    body = classes[name].body
    for field, text in zip(body, body[1:]):
        if not isinstance(field, ast.AnnAssign):
            continue
        key, kind = f"{path}.{ast.unparse(field.target)}", ast.unparse(field.annotation)
        if kind in classes:
            options += _of_class(source, classes, kind, key)
            continue
        if not isinstance(text, ast.Expr) or not isinstance(text.value, ast.Constant):
            raise ExtensionError(f"the option '{key}' has no description")
        default = None if field.value is None else _yaml(field.value, source)
        if kind.startswith("NotRequired["):
            kind = kind.removeprefix("NotRequired[").removesuffix("]")
        options.append(Option(key, kind, default, text.value.value))
    return options


def _yaml(value: ast.expr, source: str) -> str:
    """As it is written in an options file."""
    constant = value.value if isinstance(value, ast.Constant) else ...
    if constant is None or isinstance(constant, bool):
        return {None: "null", True: "true", False: "false"}[constant]
    if isinstance(constant, str):
        return constant
    return str(ast.get_source_segment(source, value))


class Options(SphinxDirective):
    """Some options, with types, defaults and descriptions: a section and its keys."""

    required_arguments = 1
    optional_arguments = 100

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(FILE))
        options = read_options()
        listed: list[str] = self.env.temp_data.setdefault("listed_options", [])
        found: list[nodes.Node] = []
        for path in self.paths(list(options), listed):
            if path not in options:
                raise self.error(f"there is no option '{path}'")
            found += self.parse_text_to_nodes("\n".join(self._lines(options[path])))
            listed.append(path)
        return found

    def paths(self, known: list[str], listed: list[str]) -> list[str]:
        section, *keys = self.arguments
        return [f"{section}.{key}" for key in keys]

    def _lines(self, option: Option) -> list[str]:
        text = option.text
        for label, link in LABELS.items():
            text = text.replace(label, link)
        first, _, rest = text.partition("\n")
        body = [first, *_dedent(rest)]
        kind = f"``{option.type}``"
        if option.default is not None:
            kind += f", ``{option.default}`` by default"
        return [
            ".. rst-class:: option",
            "",
            f".. _option-{option.path.replace('.', '-')}:",
            "",
            f"``{option.path}`` : {kind}",
            *("   " + line if line else "" for line in body),
        ]


class OtherOptions(Options):
    """All that have no place of their own yet."""

    required_arguments = 0

    def paths(self, known: list[str], listed: list[str]) -> list[str]:
        return [path for path in known if path not in listed]


def _dedent(text: str) -> list[str]:
    """Lines of a docstring after its first."""
    return [line.removeprefix("    ") for line in text.split("\n")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("options", Options)
    app.add_directive("other-options", OtherOptions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
