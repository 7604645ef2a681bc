"""Sphinx renders the pages of this folder: ``sphinx-build docs docs/_build``."""

project = "metatrain-lorem"
copyright = "metatrain-lorem developers"  # noqa: A001
extensions = ["myst_parser"]
html_theme = "furo"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
# Pages link to files outside of this folder, which exist in the repository only
suppress_warnings = ["myst.xref_missing"]
