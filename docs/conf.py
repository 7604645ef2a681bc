"""Sphinx renders the pages of this folder: ``sphinx-build -W docs docs/_build``."""

import sys
from pathlib import Path

from metatrain_lorem import __version__


sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "metatrain-lorem"
copyright = "metatrain-lorem developers"  # noqa: A001
version = release = __version__
extensions = [
    "command_help",
    "myst_parser",
    "option_lists",
    "repository_links",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build", "_extensions"]

# Any reference to nothing is an error, with `sphinx-build -W`. Other packages are not
# looked up: pages are built without a network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(ase|metatensor|metatomic|metatomic_ase|metatrain|numpy|torch)(\..*)?"),
    ("py:class", r"(pathlib\.)?Path|dict|float|int|list|str|bool|tuple|Any|Literal.*"),
    ("py:(data|obj|exc)", r"(typing|collections)\..*|None|[A-Z]\w*Error"),
    ("py:class", r"(typing|collections|pathlib|argparse)\..*|[A-Z]\w*Error"),
]

# As on GitHub, where the same pages are read
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "both"
autodoc_typehints_description_target = "documented"

html_theme = "furo"
html_title = f"LOREM {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
