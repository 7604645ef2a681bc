"""Options of ``documentation.py``, read from its text: ``.. options:: model cutoff ...``.

Each page that lists options has to list all of them, once: a new option without a place
stops the build.
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
    """A part of the options with types, defaults and descriptions.

    ``.. options:: model.long_range enable max_degree`` with a prefix and keys.
    """

    required_arguments = 1
    optional_arguments = 100

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(FILE))
        prefix, *keys = self.arguments
        options = read_options()
        found: list[nodes.Node] = []
        for key in keys:
            path = f"{prefix}.{key}"
            if path not in options:
                raise self.error(f"there is no option '{path}'")
            used = self.env.metadata[self.env.docname].setdefault("options", [])
            used.append(path)
            found += self.parse_text_to_nodes("\n".join(self._lines(options[path])))
        return found

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


def _dedent(text: str) -> list[str]:
    """Lines of a docstring after its first."""
    return [line.removeprefix("    ") for line in text.split("\n")]


def check_all_listed(app: Sphinx, _: object) -> None:
    """Each option has its place.

    :raises ExtensionError: naming those without one, or with two
    """
    listed = [p for data in app.env.metadata.values() for p in data.get("options", [])]
    known = list(read_options())
    if sorted(listed) != sorted(known):
        wrong = sorted(set(known) ^ set(listed)) or "some are listed twice"
        raise ExtensionError(f"lists of options are not those of {FILE.name}: {wrong}")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("options", Options)
    app.connect("env-check-consistency", check_all_listed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
