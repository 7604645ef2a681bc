"""Names of structures in messages: the frame in its file, not the index in a batch."""

from pathlib import Path
from typing import Any

import yaml
from torch.utils.data import Subset


# What metatrain writes before the training: the options, with all that is not said
OPTIONS_FILE = "options_restart.yaml"


class Frames:
    """Names of the structures of a data set.

    :param dataset: the data set, possibly a part of a part of what was read
    :param what: what it is, for instance ``training set``
    :param source: the file it comes from, if that is known
    """

    def __init__(self, dataset: Any, what: str, source: str | None = None) -> None:
        self.dataset = dataset
        self.what = what
        self.source = source

    def __len__(self) -> int:
        return len(self.dataset)

    def number(self, index: int) -> int:
        """Number of the frame, from 0, in what was read."""
        dataset = self.dataset
        while isinstance(dataset, Subset):
            index, dataset = int(dataset.indices[index]), dataset.dataset
        return index

    def name(self, index: int) -> str:
        """For instance ``frame 3 (from 0) of 'water.xyz'``."""
        place = f"'{self.source}'" if self.source else f"the {self.what}"
        return f"frame {self.number(index)} (from 0) of {place}"


def read_options(checkpoint_dir: str | Path) -> dict[str, Any]:
    """The options of this run, as metatrain left them beside the checkpoints.

    :return: empty if there are none: the trainer was called from Python
    """
    path = Path(checkpoint_dir) / OPTIONS_FILE
    if not checkpoint_dir or not path.is_file():
        return {}
    options = yaml.safe_load(path.read_text())
    return options if isinstance(options, dict) else {}


def name_frames(
    datasets: list[Any], what: str, section: Any, default: Any = None
) -> list[Frames]:
    """Names for the structures of some data sets.

    :param datasets: the data sets
    :param what: ``training set`` or ``validation set``
    :param section: the section of the options of that name, if they are known
    :param default: that of the training set, for a validation set that is a part of it
    """
    files, others = _files(section), _files(default)
    result = []
    for i, dataset in enumerate(datasets):
        source = files[i] if i < len(files) else None
        if source is None and i < len(others):
            source = others[i]
        number = f" {i}" if len(datasets) > 1 else ""
        result.append(Frames(dataset, what + number, source))
    return result


def _files(section: Any) -> list[str | None]:
    sections = section if isinstance(section, list) else [section]
    systems = [s.get("systems") if isinstance(s, dict) else None for s in sections]
    return [s.get("read_from") if isinstance(s, dict) else None for s in systems]


def first_of(names: list[str], limit: int = 3) -> str:
    """The first names of a list that may be long."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
