"""Exported models read as data, without executing what a file brings along.

A TorchScript archive holds the attributes of its modules as a pickle, whose classes and
functions are all replaced by inert ones here.
"""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any


class Attributes:
    """Attributes of a module or object of an archive.

    Of tensors, only the name of their storage is there, such as ``FloatStorage``.
    """

    module: Any

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state
        if isinstance(state, dict):
            self.__dict__.update(state)


class _Reader(pickle.Unpickler):
    """Never imports anything, whatever the pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch.jit._pickle":  # lists and dictionaries with their type
            return lambda value, *_: value
        if module == "torch" and name.endswith("Storage"):
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, *_: storage
        return Attributes if module.startswith("__torch__") else _no_object

    def persistent_load(self, identifier: Any) -> Any:
        """Storage of a tensor."""
        return identifier[1]


def has_extensions(path: str | Path) -> bool:
    """Whether loading the model would load compiled code from elsewhere."""
    with zipfile.ZipFile(path) as archive:
        lists = [
            json.loads(archive.read(name))
            for name in archive.namelist()
            if name.endswith(("extra/extensions", "extra/extensions-deps"))
        ]
    return any(len(names) > 0 for names in lists)


def _no_object(*_: Any) -> None:
    """In place of anything that no exported model holds."""


def read_exported(path: str | Path) -> Attributes:
    """Attributes of an exported model, of the module ``AtomisticModel``.

    :raises FileNotFoundError: if there is no such file
    :raises ValueError: if it is damaged, or no exported model
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no model '{path}'")
    wrong = f"'{path}' is damaged, or no exported model: make one by `mtt export`"
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (
                n
                for n in archive.namelist()
                if n.count("/") == 1 and n.endswith("/data.pkl")
            )
            with archive.open(name) as file:
                result = _Reader(file).load()
    except Exception as error:  # a pickle can be wrong in any way
        raise ValueError(wrong) from error
    if not isinstance(result, Attributes) or not hasattr(result, "module"):
        raise ValueError(wrong)
    return result
