"""A calculator for ASE that keeps float32 precise far away from the origin."""

from typing import Any

import ase
import ase.data
import numpy as np
from metatomic_ase import MetatomicCalculator


class WrappingCalculator(MetatomicCalculator):
    """:class:`metatomic_ase.MetatomicCalculator` that moves atoms close to the origin.

    A model in float32 gets positions that are rounded to 24 bits: at 1000 Angstrom, they
    are wrong by 3e-5 Angstrom, and nothing inside of the model can bring back what was
    lost. So atoms are wrapped into the cell, and systems are centered along their open
    directions, before the positions are rounded. Neither changes the physics. Models in
    float64 do not need it.

    Besides, ``free_energy`` is the energy (some of ASE's thermostats and filters ask for
    it), and atomic types that the model does not know are named before anything runs.

    :param model: exported model
    :param options: those of :class:`metatomic_ase.MetatomicCalculator`
    """

    def __init__(self, model: Any, **options: Any) -> None:
        super().__init__(model, **options)
        self.atomic_types = set(self.model().capabilities().atomic_types)

    def calculate(
        self, atoms: ase.Atoms, properties: list[str], system_changes: list[str]
    ) -> None:
        """:raises ValueError: if the model does not know one of the elements"""
        unknown = sorted(set(atoms.numbers.tolist()) - self.atomic_types)
        if unknown:
            raise ValueError(
                f"the model does not know {_names(unknown)}; it was trained on "
                f"{_names(sorted(self.atomic_types))}"
            )
        wanted = ["energy" if name == "free_energy" else name for name in properties]
        super().calculate(wrapped(atoms), wanted, system_changes)
        self.atoms = atoms.copy()  # what ASE compares with, to know whether atoms moved
        if "energy" in self.results:
            self.results["free_energy"] = self.results["energy"]

    def run_model(self, atoms: Any, *arguments: Any, **options: Any) -> Any:
        return super().run_model(_wrapped_all(atoms), *arguments, **options)

    def compute_energy(self, atoms: Any, *arguments: Any, **options: Any) -> Any:
        return super().compute_energy(_wrapped_all(atoms), *arguments, **options)


def wrapped(atoms: ase.Atoms) -> ase.Atoms:
    """A copy of the same physical system, close to the origin.

    Each atom is moved by lattice vectors into the cell, then all atoms together along the
    open directions, until their mean is at the origin there.
    """
    result = atoms.copy()
    result.set_constraint()
    result.wrap()
    periodic = result.cell[result.pbc]
    center = result.positions.mean(0) if len(result) > 0 else np.zeros(3)
    # Without what lies in the space of the lattice vectors
    center = center - center @ np.linalg.pinv(periodic) @ periodic
    result.positions -= center
    return result


def _wrapped_all(atoms: Any) -> Any:
    if isinstance(atoms, ase.Atoms):
        return wrapped(atoms)
    return [wrapped(one) for one in atoms]


def _names(numbers: list[int]) -> str:
    symbols = ase.data.chemical_symbols
    return ", ".join(symbols[z] if z < len(symbols) else str(z) for z in numbers)
