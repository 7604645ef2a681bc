"""Draw the data flow of a LOREM model, for light and dark pages.

    python docs/figures/data_flow.py

writes `data_flow_light.svg` and `data_flow_dark.svg` beside this file (extra `examples`).
"""

from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np


matplotlib.use("Agg")  # no window
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch  # noqa: E402


class Theme(NamedTuple):
    text: str
    faint: str  # secondary text, lattices
    card: str
    line: str
    near: str  # short range
    far: str  # long range
    positive: str
    negative: str


THEMES = {
    "light": Theme(
        text="#1f2933",
        faint="#627284",
        card="#f5f7fa",
        line="#7b8794",
        near="#1479a8",
        far="#c4561a",
        positive="#d9663a",
        negative="#3d8fc4",
    ),
    "dark": Theme(
        text="#e6edf3",
        faint="#9aa7b4",
        card="#1b222b",
        line="#8b98a5",
        near="#58b8e6",
        far="#f0935a",
        positive="#f0935a",
        negative="#58b8e6",
    ),
}

SETTINGS = {
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "svg.hashsalt": "data flow",  # the same file each time
}

# Size of the page, centers of the cards, their width and height
PAGE = (12.3, 3.76)
CENTERS = [1.15, 3.65, 6.15, 8.65, 11.15]
WIDTH, HEIGHT, BOTTOM = 2.1, 2.62, 0.1
ICON = BOTTOM + 1.42  # height of the middle of the icons


def card(axes: Axes, x: float, title: str, lines: list[str], color: str, theme: Theme):
    axes.add_patch(
        FancyBboxPatch(
            (x - WIDTH / 2, BOTTOM),
            WIDTH,
            HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.14",
            facecolor=theme.card,
            edgecolor=color,
            linewidth=1.4,
        )
    )
    top = BOTTOM + HEIGHT - 0.27
    axes.text(
        x, top, title, color=color, weight="bold", size=12.5, ha="center", va="center"
    )
    for i, line in enumerate(lines):
        y = BOTTOM + 0.51 - 0.29 * i
        axes.text(x, y, line, color=theme.text, size=10, ha="center", va="center")


def arrow(axes: Axes, start, end, color: str, bend: float = 0.0):
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=15,
            linewidth=2.0,
            color=color,
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=0,
            shrinkB=0,
        )
    )


def atom(axes: Axes, x: float, y: float, color: str, radius: float = 0.1, **kwargs):
    axes.add_patch(Circle((x, y), radius, facecolor=color, edgecolor="none", **kwargs))


def structure_icon(axes: Axes, x: float, theme: Theme):
    """A crystal that is not quite perfect, in its cell."""
    random = np.random.default_rng(4)
    for i in range(4):
        for j in range(3):
            color = theme.positive if (i + j) % 2 else theme.negative
            dx, dy = 0.035 * random.standard_normal(2)
            atom(axes, x + 0.38 * (i - 1.5) + dx, ICON + 0.38 * (j - 1) + dy, color)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * [0.76, 0.57]
    axes.plot(*(corners + [x, ICON]).T, color=theme.line, linewidth=1.1)


def neighbors_icon(axes: Axes, x: float, theme: Theme):
    """An atom, its neighbors within the cutoff, and others beyond."""
    axes.add_patch(
        Circle(
            (x, ICON), 0.56, facecolor="none", edgecolor=theme.near, linestyle="--", lw=1.3
        )
    )
    places = [(0.33, 0.2), (-0.14, 0.38), (-0.36, -0.1), (0.1, -0.36), (0.4, -0.18)]
    for i, (dx, dy) in enumerate(places):
        axes.plot([x, x + dx], [ICON, ICON + dy], color=theme.line, linewidth=1.1, zorder=1)
        color = theme.negative if i % 3 else theme.positive
        atom(axes, x + dx, ICON + dy, color, 0.075, zorder=2)
    for dx, dy in [(0.78, 0.34), (-0.78, 0.3), (-0.7, -0.42), (0.76, -0.44)]:
        atom(axes, x + dx, ICON + dy, theme.faint, 0.075, alpha=0.45)
    atom(axes, x, ICON, theme.near, 0.12, zorder=3)


def charges_icon(axes: Axes, x: float, theme: Theme):
    """Charges of degree zero, one and two."""
    colors = [theme.positive, theme.negative]
    atom(axes, x - 0.66, ICON, colors[0], 0.17)
    for sign, color in zip((1, -1), colors):
        axes.add_patch(
            Ellipse((x - 0.02, ICON + 0.19 * sign), 0.24, 0.36, color=color, linewidth=0)
        )
    for i in range(4):
        angle = 45 + 90 * i
        dx, dy = 0.19 * np.cos(np.radians(angle)), 0.19 * np.sin(np.radians(angle))
        axes.add_patch(
            Ellipse(
                (x + 0.64 + dx, ICON + dy),
                0.35,
                0.2,
                angle=angle,
                color=colors[i % 2],
                lw=0,
            )
        )


def coulomb_icon(axes: Axes, x: float, theme: Theme):
    """Waves through a cell and its images."""
    for i in range(-1, 2):
        for j in range(-1, 2):
            strength = 1.0 if i == j == 0 else 0.4
            left, low = x + 0.52 * i, ICON + 0.38 * j
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
            corners = corners * [0.26, 0.19]
            axes.plot(*(corners + [left, low]).T, color=theme.line, lw=0.8, alpha=strength)
            for dx, dy, color in [
                (-0.11, -0.05, theme.negative),
                (0.1, 0.06, theme.positive),
            ]:
                atom(axes, left + dx, low + dy, color, 0.055, alpha=strength, zorder=3)
    t = np.linspace(-0.86, 0.86, 200)
    for shift in (-0.19, 0.19):
        wave = ICON + shift + 0.07 * np.cos(2 * np.pi * t / 0.43)
        axes.plot(x + t, wave, color=theme.far, linewidth=1.6, zorder=2)


def energy_icon(axes: Axes, x: float, theme: Theme):
    """A potential energy, and the force at a point."""
    t = np.linspace(0.0, 1.0, 200)
    r = 0.72 + 1.9 * t
    curve = 4 * (r**-8 - r**-4)
    xs, ys = x - 0.72 + 1.44 * t, ICON - 0.02 + 0.42 * np.clip(curve, -1.2, 1.3)
    shown = ys < ICON + 0.5
    axes.plot(xs[shown], ys[shown], color=theme.text, linewidth=2.0)
    place = 88
    atom(axes, xs[place], ys[place], theme.near, 0.085, zorder=3)
    arrow(
        axes,
        (xs[place] - 0.04, ys[place] - 0.02),
        (xs[place] - 0.4, ys[place] - 0.02),
        theme.far,
    )


def draw(theme: Theme, path: Path):
    figure = plt.figure(figsize=(0.82 * PAGE[0], 0.82 * PAGE[1]))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, PAGE[0]), ylim=(0, PAGE[1]), aspect="equal")
    axes.axis("off")

    short, long = theme.near, theme.far
    card(
        axes,
        CENTERS[0],
        "Structure",
        ["crystal, slab", "or molecule"],
        theme.text,
        theme,
    )
    structure_icon(axes, CENTERS[0], theme)
    card(
        axes,
        CENTERS[1],
        "Neighbors",
        ["features of what is", r"near: $h_i$ and $x_i^{lm}$"],
        short,
        theme,
    )
    neighbors_icon(axes, CENTERS[1], theme)
    card(
        axes,
        CENTERS[2],
        "Charges",
        [r"learned: scalar $q_i$,", r"and $q_i^{lm}$ to $l = 2$"],
        long,
        theme,
    )
    charges_icon(axes, CENTERS[2], theme)
    card(
        axes,
        CENTERS[3],
        "Coulomb sum",
        [r"potentials $v_i,\ v_i^{lm}$", "of all atoms"],
        long,
        theme,
    )
    coulomb_icon(axes, CENTERS[3], theme)
    card(
        axes,
        CENTERS[4],
        "Energy",
        ["forces and stress", "are its derivatives"],
        theme.text,
        theme,
    )
    energy_icon(axes, CENTERS[4], theme)

    middle = BOTTOM + HEIGHT / 2
    for i, color in enumerate([theme.line, short, long, long]):
        start, end = CENTERS[i] + WIDTH / 2 + 0.05, CENTERS[i + 1] - WIDTH / 2 - 0.05
        arrow(axes, (start, middle), (end, middle), color)

    # The features go on beside the long range.
    top, over = BOTTOM + HEIGHT, BOTTOM + HEIGHT + 0.5
    left, right = CENTERS[1], CENTERS[4]
    axes.plot([left, left, right], [top + 0.05, over, over], color=short, linewidth=2.0)
    arrow(axes, (right, over), (right, top + 0.03), short)
    axes.text(
        (left + right) / 2,
        over + 0.23,
        r"features $h_i$, updated by $v_i$ and $v_i^{lm} \otimes x_i^{lm}$",
        color=theme.faint,
        size=10.5,
        ha="center",
        va="center",
    )
    figure.savefig(path, transparent=True, metadata={"Date": None})
    plt.close(figure)


def main():
    plt.rcParams.update(SETTINGS)
    for name, theme in THEMES.items():
        draw(theme, Path(__file__).with_name(f"data_flow_{name}.svg"))


if __name__ == "__main__":
    main()
