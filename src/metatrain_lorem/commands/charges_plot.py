"""Plot of the scalar charges of each species."""

from typing import Any

import ase
import ase.data
import numpy as np


BINS = 40


def plot_charges(frames: list[ase.Atoms], charges: list[np.ndarray], title: str) -> Any:
    """One histogram per species, below each other on one axis.

    :param charges: of each frame ``[N, C]``, the scalar charge first
    :return: figure of matplotlib
    :raises RuntimeError: without matplotlib
    """
    try:
        from matplotlib.figure import Figure  # not pyplot: nothing is shown
    except ImportError:
        raise RuntimeError(
            "plots need matplotlib: pip install 'metatrain-lorem[charges]'"
        ) from None
    numbers = np.concatenate([atoms.numbers for atoms in frames])
    scalars = np.concatenate([values[:, 0] for values in charges])
    types = np.unique(numbers)
    figure = Figure(figsize=(6.0, 1.2 + 1.1 * len(types)), layout="constrained")
    axes = figure.subplots(len(types), 1, sharex=True, squeeze=False)[:, 0]
    low, high = scalars.min(), scalars.max()
    margin = 0.05 * (high - low) or 0.1
    edges = np.linspace(low - margin, high + margin, BINS + 1)
    for axis, number in zip(axes, types):
        own = scalars[numbers == number]
        axis.hist(own, edges, color="#4878a8")
        axis.axvline(own.mean(), color="black", linewidth=1)
        axis.set_ylabel(ase.data.chemical_symbols[number])
        text = f"mean {own.mean():.3g}, spread {own.std():.2g}, {len(own)} atoms"
        axis.set_title(text, loc="right", fontsize="small")
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("scalar charge (sign and scale are arbitrary)")
    figure.suptitle(title, fontsize="medium")
    return figure
