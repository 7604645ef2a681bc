"""All structures and labels, looked at once before the training."""

import logging
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from metatomic.torch import System
from metatrain.utils.data import TargetInfo
from metatrain.utils.data.dataset import DiskDataset, MemmapDataset
from torch.utils.data import Subset

from ..structure_checks import SAME_PLACE, TOO_CLOSE, check_structure, closest_pair
from .frames import Frames, first_of
from .outliers import Energies, tell_large_labels, tell_odd_energies


# Of a data set on disk, that many structures are read, evenly spaced
MAX_ON_DISK = 20_000
# Names of labels that belong to an energy
NAMES = {"positions": "forces", "strain": "stress/virial"}


class Inspection:
    """What is known about some data sets after each structure was looked at.

    :param frames: the data sets
    :param targets: the targets; all other fields are extra data
    :param check: raises a ``ValueError`` for systems that the model cannot treat
    :raises ValueError: for what no model can be trained on, naming frame, key and value
    """

    def __init__(
        self,
        frames: list[Frames],
        targets: Mapping[str, TargetInfo],
        check: Callable[[System], None] = lambda system: None,
    ) -> None:
        self.targets = targets
        self.check = check
        self.structures: dict[int, str] = {}  # fingerprint -> name
        self.labelled: list[int] = []  # fingerprints of structures with their labels
        self.sizes: list[tuple[int, str]] = []  # number of atoms and name
        self.types: dict[int, str] = {}  # atomic type -> name of the first structure
        self.missing: dict[str, list[str]] = {}  # label -> names of structures
        self.present: set[str] = set()  # labels
        self.close: list[str] = []
        self.unsymmetric: list[str] = []
        self.largest: dict[str, list[tuple[float, str]]] = {}
        self.energies: dict[str, Energies] = {}
        for one in frames:
            for index in _indices(one.dataset):
                self._add(one.dataset[index], one.name(index))

    def _add(self, sample: Any, name: str) -> None:
        system = sample["system"]
        try:
            self._check_structure(system, name)
            own = fingerprint(system)
            labels = blake2b(own.to_bytes(8, "big"), digest_size=8)
            fields = sample._asdict()
            for target in self.targets:
                if target in fields:
                    values = fields[target]
                    self._add_labels(target, values, system, name, labels)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        self.structures.setdefault(own, name)
        self.sizes.append((len(system), name))
        self.labelled.append(int.from_bytes(labels.digest(), "big"))
        for atomic_type in np.unique(system.types.numpy()).tolist():
            self.types.setdefault(atomic_type, name)

    def _check_structure(self, system: System, name: str) -> None:
        arrays = [x.numpy() for x in (system.positions, system.cell, system.pbc)]
        check_structure(*arrays)
        self.check(system)
        pair = closest_pair(*arrays)
        if pair is None:
            return
        distance, first, second = pair
        if distance < SAME_PLACE:
            raise ValueError(
                f"atoms {first} and {second} (from 0) coincide (distance {distance:.2g} "
                "Angstrom): remove one of them"
            )
        self.close.append(f"atoms {first} and {second} ({distance:.2g}) of {name}")

    def _add_labels(
        self, target: str, labels: Any, system: System, name: str, digest: Any
    ) -> None:
        num_atoms, info = len(system), self.targets[target]
        if info.quantity == "energy" and info.sample_kind == "system":
            value = float(labels.block().values)
            if np.isfinite(value):
                energies = self.energies.setdefault(target, Energies())
                energies.add(value, system.types, name)
        for block in labels.blocks():
            parts = {f"'{target}'": block.values}
            for gradient, part in block.gradients():
                if gradient == "positions" and len(part.values) != num_atoms:
                    raise ValueError(
                        f"forces of '{target}': {part.values.numel()} numbers for "
                        f"{num_atoms} atoms, instead of 3 for each: correct their columns"
                    )
                word = NAMES.get(gradient, gradient)
                if gradient not in info.gradients:
                    raise ValueError(
                        f"{word} of '{target}' are here, but not in all training "
                        "structures: give them to all, or switch them off "
                        f"(`{word.split('/')[0]}: off`)"
                    )
                parts[f"{word} of '{target}'"] = part.values
            for key, tensor in parts.items():
                values = tensor.numpy()
                digest.update(np.ascontiguousarray(values).tobytes())
                self._add_values(key, values, name)

    def _add_values(self, key: str, values: np.ndarray, name: str) -> None:
        if np.isinf(values).any():
            value = values[np.isinf(values)][0]
            raise ValueError(
                f"{key}: {value} is no label; correct it, or write NaN for a label that is "
                "not known"
            )
        is_missing = np.isnan(values)
        if not is_missing.all() or values.size == 0:
            self.present.add(key)
        if is_missing.any():
            self.missing.setdefault(key, []).append(name)
            return
        if key.startswith(NAMES["strain"]):
            matrix = values.reshape(3, 3)
            if np.abs(matrix - matrix.T).max() > 1e-3 * np.abs(matrix).max():
                self.unsymmetric.append(f"{key} of {name}")
        if key.startswith(NAMES["positions"]) and values.size > 0:
            self.largest.setdefault(key, []).append((float(np.abs(values).max()), name))

    def check_labels(self, fitted: list[str]) -> None:
        """Tell what is missing or odd, each once.

        :param fitted: targets of whole structures whose baseline is going to be fitted
        :raises ValueError: for targets of which all labels are missing, or whose baseline
            cannot be fitted
        """
        for key, names in self.missing.items():
            if key not in self.present:
                raise ValueError(
                    f"{key}: all labels are missing (NaN), so there is nothing to learn; "
                    "correct the key, or take the target out of the options"
                )
            if key.strip("'") in fitted:
                raise ValueError(
                    f"target {key} of {names[0]} is missing (NaN), so that no atomic "
                    "baseline can be fitted: give it as `atomic_baseline`, or leave out "
                    f"the structure ({len(names)} in all)"
                )
        if self.missing:
            lines = [f"{key} of {first_of(names)}" for key, names in self.missing.items()]
            logging.warning(f"Not learned, as labels are NaN: {'; '.join(lines)}")
        if self.close:
            logging.warning(
                f"Atoms closer than {TOO_CLOSE} Angstrom, check the data: "
                f"{first_of(self.close)}"
            )
        if self.unsymmetric:
            logging.warning(
                "Not symmetric, but predictions will be: " + first_of(self.unsymmetric)
            )
        tell_large_labels(self.largest)
        tell_odd_energies(self.energies)

    def name_of(self, system: System) -> str:
        """Name of a structure of a batch, in float64 and on the CPU."""
        unknown = f"a structure of {len(system)} atoms"
        return self.structures.get(fingerprint(system), unknown)


def fingerprint(system: System) -> int:
    """64 bits that depend on each bit of species, positions, cell and periodicity."""
    digest = blake2b(digest_size=8)
    for tensor in (system.types, system.positions, system.cell, system.pbc):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return int.from_bytes(digest.digest(), "big")


def check_types(training: Inspection, validation: Inspection, known: list[int]) -> None:
    """Refuse atomic types that the model does not know.

    :param known: atomic types of the model
    :raises ValueError: naming type and structure
    """
    for types in (training.types, validation.types):
        for atomic_type in sorted(set(types) - set(known)):
            raise ValueError(
                f"the model is for the atomic types {known} only, but "
                f"{types[atomic_type]} holds {atomic_type}: correct `atomic_types` in the "
                "options, or leave out the structure"
            )


def tell_not_validated(training: Inspection, validation: Inspection) -> None:
    """Warn of labels of which there are no errors, so that they choose no best model."""
    lacking = sorted(training.present - validation.present)
    if lacking and validation.sizes:
        logging.warning(
            f"The validation structures have no {', '.join(lacking)}: there are no errors "
            "of these, and the best model is chosen without them"
        )


def tell_unseen_types(
    training: Inspection, validation: Inspection, known: list[int]
) -> None:
    """Warn of atomic types that the model will accept without having learned them."""
    unseen = sorted(set(known) - set(training.types))
    if unseen and training.types:
        where = [f"{z} in {validation.types[z]}" for z in unseen if z in validation.types]
        found = f" (validation only: {', '.join(where)})" if where else ""
        logging.warning(
            f"The training structures do not hold the atomic types {unseen}{found}: the "
            "model will accept them, but has learned nothing about them"
        )


def _indices(dataset: Any) -> range:
    source = dataset
    while isinstance(source, Subset):
        source = source.dataset
    on_disk = isinstance(source, DiskDataset | MemmapDataset)
    step = -(-len(dataset) // MAX_ON_DISK) if on_disk else 1
    return range(0, len(dataset), max(step, 1))
