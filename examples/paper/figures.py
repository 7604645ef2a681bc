"""Draw the figure of a system from its results.

    python figures.py nacl_cluster results/nacl_cluster.json

writes an SVG and a PNG file beside the results.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.data.colors import jmol_colors
from evaluation import minimum
from systems import SYSTEMS, System


matplotlib.use("Agg")  # no window
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.patches import Circle  # noqa: E402


REFERENCE = "reference"
COLORS = {
    "no long range": "#8a8f98",
    "l = 0": "#d9873a",
    "l = 1": "#3d8fc4",
    "l = 2": "#2f9e6e",
}
LINES = ("-", "--", "-.", ":")
SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "paper",  # the same file each time
}


def draw(name: str, results: dict[str, Any], path: Path) -> None:
    """Write ``path`` with the suffixes ``.svg`` and ``.png``."""
    system = SYSTEMS[name]
    with plt.rc_context(SETTINGS):
        if not system.abscissa:
            figure = draw_classes(results)
        elif len(results["curves"]) == 1:
            figure = draw_overlay(system, results)
        else:
            figure = draw_panels(system, results)
        figure.suptitle(f"{system.title}: {results['data']}", fontsize=10)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=150)
        plt.close(figure)


def draw_panels(system: System, results: dict[str, Any]) -> plt.Figure:
    """Structures, and below one panel per variant with all curves and their minima."""
    curves = results["curves"]
    variants = list(results["variants"])
    figure = plt.figure(figsize=(10, 5.6), layout="constrained")
    rows = figure.subfigures(2, 1, height_ratios=[1, 2])
    pictures = rows[0].subplots(1, len(curves), squeeze=False)[0]
    for axes, (curve, content), line in zip(pictures, curves.items(), LINES):
        draw_structure(axes, content["structure"], system)
        axes.set_title(f"{curve} ({'solid' if line == '-' else _dashes(line)})", fontsize=9)
    offset = _offset(curves)
    panels = rows[1].subplots(1, len(variants), sharex=True, sharey=True)
    for letter, axes, variant in zip("ABCD", panels, variants):
        for i, (content, line) in enumerate(zip(curves.values(), LINES)):
            x = content["x"]
            for source, color in ((REFERENCE, "black"), (variant, COLORS[variant])):
                energies = 1000 * np.array(content["energies"][source]) + i * offset
                wide = 1.0 if source == REFERENCE else 2.0
                axes.plot(x, energies, line, color=color, lw=wide, label=source)
                lowest = minimum(x, list(energies))
                if lowest is not None:
                    axes.plot(*lowest, "o", color=color, ms=5, mec="white")
        axes.set_title(f"{letter}   {variant}", loc="left", fontsize=9)
        handles, names = axes.get_legend_handles_labels()
        axes.legend(handles[:2], names[:2], frameon=False, fontsize=8)
    panels[0].set_ylabel(f"energy / meV, curves apart by {offset:.0f}")
    rows[1].supxlabel(system.label, fontsize=9)
    return figure


def draw_overlay(system: System, results: dict[str, Any]) -> plt.Figure:
    """One structure and one curve, of the reference and of all variants."""
    (content,) = results["curves"].values()
    figure, (picture, axes) = plt.subplots(
        2, 1, figsize=(6, 5.5), height_ratios=[1, 3], layout="constrained"
    )
    draw_structure(picture, content["structure"], system)
    energies = content["energies"]
    axes.plot(content["x"], energies[REFERENCE], "o", color="black", ms=3, label=REFERENCE)
    for variant in results["variants"]:
        axes.plot(content["x"], energies[variant], color=COLORS[variant], label=variant)
    axes.set_xlabel(system.label)
    axes.set_ylabel("energy / eV")
    axes.legend(frameon=False)
    return figure


def draw_classes(results: dict[str, Any]) -> plt.Figure:
    """Mean absolute errors of forces, for each class and variant."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    variants = results["variants"]
    classes = list(next(iter(variants.values()))["classes"])
    places = np.arange(len(classes))
    width = 0.8 / len(variants)
    for i, (variant, content) in enumerate(variants.items()):
        values = [content["classes"][name]["forces_mae"] for name in classes]
        axes.bar(places + (i - 1.5) * width, values, width, color=COLORS[variant])
        axes.plot([], [], "s", color=COLORS[variant], label=variant)
    axes.set_yscale("log")
    axes.set_xticks(places, classes)
    axes.set_xlabel("class: C charged, P polar, A apolar")
    axes.set_ylabel("mean absolute error of forces / meV/A")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.12))
    return figure


def draw_structure(axes: Axes, structure: dict[str, Any], system: System) -> None:
    """Atoms in a plane, those behind first; a red ring marks what moves."""
    positions = np.array(structure["positions"])
    first, second = system.plane
    (depth,) = {0, 1, 2} - {first, second}
    moving = {i % len(positions) for i in system.moving}
    for i in np.argsort(-positions[:, depth], kind="stable"):
        number = atomic_numbers[structure["symbols"][i]]
        center, radius = positions[i, [first, second]], 0.55 * covalent_radii[number]
        axes.add_patch(Circle(center, radius, fc=jmol_colors[number], ec="#333333", lw=0.6))
        if i in moving:
            axes.add_patch(Circle(center, 1.3 * radius, fill=False, ec="#c0392b", lw=1.8))
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.axis("off")


def _offset(curves: dict[str, Any]) -> float:
    """A round number of meV that keeps the curves of the reference apart."""
    spans = [np.ptp(content["energies"][REFERENCE]) for content in curves.values()]
    return float(np.ceil(0.5 * 1000 * max(spans) / 10) * 10)


def _dashes(line: str) -> str:
    return {"--": "dashed", "-.": "dash-dotted", ":": "dotted"}[line]


if __name__ == "__main__":
    name, file = sys.argv[1], Path(sys.argv[2])
    draw(name, json.loads(file.read_text()), file)
