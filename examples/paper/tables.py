"""A row of the paper's table in Markdown, beside the paper's own numbers."""

from typing import Any

from evaluation import minimum
from figures import REFERENCE
from systems import SYSTEMS


def markdown(name: str, results: dict[str, Any]) -> str:
    """Errors of all variants, and the minima of the curves if there are any."""
    system = SYSTEMS[name]
    lines = [
        f"# {system.title}",
        "",
        f"Data: {results['data']}. Root mean square errors on the test structures "
        "(energies in meV/atom, forces in meV/Å); those of the paper, on its own data, for "
        "orientation.",
        "",
        "| variant | energy | forces | paper: energy | paper: forces |",
        "|---|---|---|---|---|",
    ]
    rows = zip(results["variants"].items(), system.energy, system.forces, strict=True)
    for (variant, content), energy, forces in rows:
        lines.append(
            f"| {variant} | {content['energy_rmse']:.3f} | {content['forces_rmse']:.2f} "
            f"| {energy:.3f} | {forces:.3f} |"
        )
    if results.get("curves"):
        lines += ["", *curve_lines(system.label, results)]
    return "\n".join(lines) + "\n"


def curve_lines(label: str, results: dict[str, Any]) -> list[str]:
    """Place of the minimum, and the largest error along each curve."""
    names = [REFERENCE, *results["variants"]]
    lines = [
        f"Minimum of each curve ({label.replace(' / A', ' / Å')}), and largest error of an "
        "energy along it (meV):",
        "",
        "| curve | " + " | ".join(names) + " |",
        "|---" * (1 + len(names)) + "|",
    ]
    for curve, content in results["curves"].items():
        cells = []
        truth = content["energies"][REFERENCE]
        for name in names:
            energies = content["energies"][name]
            lowest = minimum(content["x"], energies)
            place = "at an end" if lowest is None else f"{lowest[0]:.3f}"
            worst = max(abs(e - t) for e, t in zip(energies, truth, strict=True))
            cells.append(place if name == REFERENCE else f"{place}; {1000 * worst:.1f}")
        lines.append(f"| {curve} | " + " | ".join(cells) + " |")
    return lines
