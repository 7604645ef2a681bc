"""Labels far off all others, which would be all that a training learns."""

import logging
from collections.abc import Mapping

import numpy as np
import torch

from .frames import first_of


# Forces this many times larger than those of most structures are told
OUTLIER = 1e3
# The same for energies beside the atomic baseline: most structures of a liquid differ by
# 1e-3 eV per atom, a dissociated one by 3 eV. What is told is an error of a calculation.
ENERGY_OUTLIER = 1e4
# Digits of energies in float64 that are not rounding errors
DIGITS = 1e-12


class Energies:
    """Energies of one target, with what their atomic baseline depends on."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.types: list[tuple[np.ndarray, np.ndarray]] = []  # atomic types, how many
        self.names: list[str] = []

    def add(self, value: float, types: torch.Tensor, name: str) -> None:
        """The energy of a structure."""
        self.values.append(value)
        self.types.append(np.unique(types.numpy(), return_counts=True))
        self.names.append(name)

    def odd(self) -> tuple[list[str], float]:
        """Structures whose energy is far off, and the typical distance per atom.

        The distance is that from energies of atoms, fitted to those structures, half of
        all, that they describe best: outliers take no part. A structure is only judged if
        this half tells its baseline.
        """
        counts, values = self._counts(), np.array(self.values)
        num_atoms = counts.sum(1)
        best = np.ones(len(values), dtype=bool)
        for _ in range(3):  # an outlier spoils the first fit, but is worst in it
            fitted = best
            weights = 1 / num_atoms[fitted]
            rows, energies = counts[fitted] * weights[:, None], values[fitted] * weights
            baseline = np.linalg.lstsq(rows, energies, rcond=1e-10)[0]
            distances = np.abs(values - counts @ baseline) / num_atoms
            best = distances <= np.median(distances)
        typical = float(np.median(distances))
        if typical <= DIGITS * float(np.median(np.abs(values) / num_atoms)):
            return [], typical
        far = (distances > ENERGY_OUTLIER * typical) & _is_spanned(counts, counts[fitted])
        return [f"{self.names[i]} ({values[i]:.6g})" for i in np.flatnonzero(far)], typical

    def _counts(self) -> np.ndarray:
        """Atoms of each type, ``[structures, types]``."""
        known = np.unique(np.concatenate([types for types, _ in self.types]))
        counts = np.zeros((len(self.types), len(known)))
        for row, (types, numbers) in zip(counts, self.types):
            row[np.searchsorted(known, types)] = numbers
        return counts


def _is_spanned(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which rows are linear combinations of others."""
    _, sizes, basis = np.linalg.svd(others, full_matrices=False)
    basis = basis[sizes > 1e-10 * sizes.max()]
    rest = rows - rows @ basis.T @ basis
    return np.linalg.norm(rest, axis=1) < 1e-6 * np.linalg.norm(rows, axis=1)


def tell_large_labels(labels: Mapping[str, list[tuple[float, str]]]) -> None:
    """Warn of gradients far larger than most.

    :param labels: of each kind, the largest component and the name of each structure
    """
    for key, values in labels.items():
        typical = float(np.median([value for value, _ in values]))
        odd = [f"{n} ({v:.3g})" for v, n in values if v > OUTLIER * typical > 0]
        if odd:
            logging.warning(
                f"The largest of the {key} is usually about {typical:.3g}, but not in "
                f"{first_of(odd)}: such outliers spoil a training"
            )


def tell_odd_energies(targets: Mapping[str, Energies]) -> None:
    """Warn of energies far off, see :meth:`Energies.odd`."""
    for target, energies in targets.items():
        names, typical = energies.odd()
        if names:
            logging.warning(
                f"'{target}' is usually about {typical:.3g} per atom away from a baseline, "
                f"but more than {ENERGY_OUTLIER:g} times as much in {first_of(names)}: "
                "such outliers spoil a training"
            )
