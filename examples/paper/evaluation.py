"""Errors and curves of the trained variants of a system."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import numpy as np

from metatrain_lorem.engines.ase import WrappingCalculator


Prediction = tuple[list[float], list[np.ndarray]]


def predict(model: Path, frames: list[ase.Atoms]) -> Prediction:
    """Energies (eV) and forces (eV/A) of an exported model."""
    calculator = WrappingCalculator(model, check_consistency=False)
    energies, forces = [], []
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = calculator
        energies.append(float(atoms.get_potential_energy()))
        forces.append(atoms.get_forces())
    return energies, forces


def labels(frames: list[ase.Atoms]) -> Prediction:
    energies = [float(frame.info["energy"]) for frame in frames]
    return energies, [frame.arrays["forces"] for frame in frames]


def errors(frames: list[ase.Atoms], prediction: Prediction) -> dict[str, Any]:
    """Errors of energies (meV/atom) and of forces (meV/A), over all and per class."""
    energies, forces = labels(frames)
    sizes = np.array([len(frame) for frame in frames])
    energy_errors = 1000 * (np.array(prediction[0]) - energies) / sizes
    force_errors = [1000 * (f - g) for f, g in zip(prediction[1], forces, strict=True)]
    result: dict[str, Any] = {
        "energy_rmse": _rms(energy_errors),
        "energy_mae": float(np.abs(energy_errors).mean()),
        "forces_rmse": _rms(np.concatenate(force_errors)),
        "forces_mae": float(np.abs(np.concatenate(force_errors)).mean()),
    }
    classes = sorted({str(frame.info["curve"]) for frame in frames})
    for name in classes:
        chosen = [i for i, frame in enumerate(frames) if frame.info["curve"] == name]
        of_class = np.concatenate([force_errors[i] for i in chosen])
        result.setdefault("classes", {})[name] = {
            "structures": len(chosen),
            "energy_rmse": _rms(energy_errors[chosen]),
            "forces_mae": float(np.abs(of_class).mean()),
        }
    return result


def curves(
    frames: list[ase.Atoms],
    abscissa: str,
    predictors: dict[str, Callable[[list[ase.Atoms]], Prediction]],
) -> dict[str, Any]:
    """Energies along each curve of the scan, relative to the lowest label of the curve.

    :param frames: with the name of their curve in ``info["curve"]``
    :param abscissa: key of ``info``
    :param predictors: for each name, what gives the energies
    :return: for each curve, abscissa ``x``, and an energy (eV) of each frame for each name
    """
    result: dict[str, Any] = {}
    for curve in dict.fromkeys(frame.info["curve"] for frame in frames):
        part = [frame for frame in frames if frame.info["curve"] == curve]
        part.sort(key=lambda frame: frame.info[abscissa])
        lowest = min(frame.info["energy"] for frame in part)
        entry: dict[str, Any] = {"x": [float(frame.info[abscissa]) for frame in part]}
        entry["energies"] = {
            name: [energy - lowest for energy in predictor(part)[0]]
            for name, predictor in predictors.items()
        }
        entry["structure"] = {
            "symbols": list(part[0].symbols),
            "positions": part[0].positions.round(3).tolist(),
        }
        result[str(curve)] = entry
    return result


def minimum(x: list[float], energies: list[float]) -> tuple[float, float] | None:
    """Place and energy of the lowest point, by a parabola; none at an end of the curve."""
    i = int(np.argmin(energies))
    if i in (0, len(x) - 1):
        return None
    a, b, c = np.polyfit(x[i - 1 : i + 2], energies[i - 1 : i + 2], 2)
    place = -b / (2 * a)
    return float(place), float(c - b**2 / (4 * a))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))
