"""A calculator for ASE that names what it refuses, and wraps atoms into the cell."""

import warnings
from typing import Any

import ase
import ase.data
import numpy as np
import torch
from ase.calculators.calculator import PropertyNotImplementedError
from metatomic.torch import ModelOutput, pick_output
from metatomic_ase import MetatomicCalculator

from ..ops.extent import check_search
from ..structure_checks import SAME_PLACE, check_structure, closest_pair


# Angstrom that an atom moves at most from one step of a simulation to the next
STEP = 0.3


class WrappingCalculator(MetatomicCalculator):
    """:class:`metatomic_ase.MetatomicCalculator` that moves atoms close to the origin.

    Exported models take positions in float64. Those of wrappers around a model, such as
    metatrain's `llpr`, may take float32: positions of 1000 Angstrom are rounded to 3e-5
    Angstrom, and nothing inside of the model can bring back what was lost. So atoms are
    wrapped into the cell, and systems are centered along their open directions. Neither
    changes the physics.

    ``charges`` are there if the model was trained on a target ``charge``, or on a variant
    such as ``charge/mbis``. Of several, ``variants={"charge": "mbis"}`` takes one.

    Besides, ``free_energy`` is the energy (some of ASE's thermostats and filters ask for
    it), and what the model cannot treat is named before anything runs: unknown elements,
    positions that are not finite or coincide, cells that are not finite or collapsed.

    :param model: exported model
    :param options: those of :class:`metatomic_ase.MetatomicCalculator`
    """

    def __init__(self, model: Any, **options: Any) -> None:
        super().__init__(model, **options)
        self.atomic_types = set(self.model().capabilities().atomic_types)
        lists = self.model().requested_neighbor_lists()
        self.cutoff = max([options.engine_cutoff("angstrom") for options in lists])
        self.last: ase.Atoms | None = None  # the atoms before, their distances checked

    def calculate(
        self, atoms: ase.Atoms, properties: list[str], system_changes: list[str]
    ) -> None:
        """:raises ValueError: for atoms that the model cannot treat, or predictions that
        are not finite
        :raises PropertyNotImplementedError: for the stress of an open system
        """
        self._check(atoms)
        if "stress" in properties and not atoms.pbc.all():
            raise PropertyNotImplementedError(
                "the stress is defined in systems that are periodic in three directions "
                f"only; `pbc` is {atoms.pbc.tolist()}"
            )
        wanted = ["energy" if name == "free_energy" else name for name in properties]
        others = [name for name in wanted if name != "charges"]
        try:
            if others:
                super().calculate(wrapped(atoms), others, system_changes)
            if "charges" in wanted:
                self.results["charges"] = self._charges(atoms)
        except torch.jit.Error as error:  # the model's own message is its last line
            message = str(error).strip().splitlines()[-1]
            raise ValueError(message.removeprefix("builtins.ValueError: ")) from error
        self._check_results()
        self.atoms = atoms.copy()  # what ASE compares with, to know whether atoms moved
        if "energy" in self.results:
            self.results["free_energy"] = self.results["energy"]

    def _charges(self, atoms: ase.Atoms) -> np.ndarray:
        """:raises PropertyNotImplementedError: if the model was not trained on charges"""
        outputs = self.model().capabilities().outputs
        variant = (self.parameters["variants"] or {}).get("charge")
        names = [name for name in outputs if name.split("/")[0] == "charge"]
        if not names:
            raise PropertyNotImplementedError(
                "the model was not trained on charges: what its atoms exchange, "
                "`mtt::aux::charges`, is of another unit and sign in each model"
            )
        is_only = len(names) == 1 and variant is None
        name = names[0] if is_only else pick_output("charge", outputs, variant)
        requests = {name: ModelOutput(unit="e", sample_kind="atom")}
        charges = super().run_model(wrapped(atoms), requests)[name].block().values
        return charges.detach().cpu().double().numpy().flatten()

    def run_model(self, atoms: Any, *arguments: Any, **options: Any) -> Any:
        return super().run_model(self._wrapped_all(atoms), *arguments, **options)

    def compute_energy(self, atoms: Any, *arguments: Any, **options: Any) -> Any:
        return super().compute_energy(self._wrapped_all(atoms), *arguments, **options)

    def _wrapped_all(self, atoms: Any) -> Any:
        """Structures that were checked, wrapped.

        :raises ValueError: naming the structure by its index, if there are several
        """
        if isinstance(atoms, ase.Atoms):
            self._check(atoms)
            return wrapped(atoms)
        for number, one in enumerate(atoms):
            try:
                self._check(one)
            except ValueError as error:
                raise ValueError(f"structure {number} (from 0): {error}") from None
        return [wrapped(one) for one in atoms]

    def _check(self, atoms: ase.Atoms) -> None:
        unknown = sorted(set(atoms.numbers.tolist()) - self.atomic_types)
        if unknown:
            raise ValueError(
                f"the model does not know {_names(unknown)}; it was trained on "
                f"{_names(sorted(self.atomic_types))}"
            )
        arrays = atoms.positions, atoms.cell.array, atoms.pbc
        check_structure(*arrays)
        positions, cell, pbc = (torch.from_numpy(x) for x in arrays)
        check_search(positions, cell, pbc, self.cutoff)
        is_step, self.last = self._is_step(atoms), atoms.copy()
        if is_step:
            return  # forces push atoms apart
        pair = closest_pair(*arrays)
        if pair is not None:
            distance, first, second = pair
            text = f"atoms {first} and {second} (from 0) are {distance:.2g} Angstrom apart"
            if distance < SAME_PLACE:
                self.last = None
                raise ValueError(f"{text}: remove one of them")
            warnings.warn(f"{text}, closer than any bond", stacklevel=5)

    def _is_step(self, atoms: ase.Atoms) -> bool:
        """Whether these are the atoms before, hardly moved: distances are slow to check."""
        last = self.last
        if last is None or not np.array_equal(last.numbers, atoms.numbers):
            return False
        return float(np.abs(last.positions - atoms.positions).max(initial=0.0)) < STEP

    def _check_results(self) -> None:
        for name in ("energy", "forces"):
            if name in self.results and not np.isfinite(self.results[name]).all():
                self.results.clear()
                raise ValueError(
                    f"the model predicts {name} that are not finite: if it does for all "
                    "structures, its weights are damaged; else atoms are too close"
                )


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


def _names(numbers: list[int]) -> str:
    symbols = ase.data.chemical_symbols
    return ", ".join(symbols[z] if z < len(symbols) else str(z) for z in numbers)
