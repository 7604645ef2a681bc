"""Models of lorem-jax, read from and written to its checkpoint folders.

A folder holds ``model/model.yaml`` (class and settings), ``model/baseline.yaml`` (energies
of isolated species) and ``model/model.msgpack`` (parameters). The last is what
``flax.serialization`` writes: nested maps whose leaves are MessagePack extensions of type
1, each a packed triple of shape, dtype and row-major bytes. Neither JAX nor flax is needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
import yaml


# MessagePack extension type of arrays, see `_MsgpackExtType` in flax.serialization
NDARRAY = 1
# Marks arrays of more than 1 GiB, which flax splits; no LOREM model has one.
CHUNKED = "__msgpack_chunked_array__"

# Class of the models, as lorem-jax writes and as its documentation spells it
MODEL_CLASS = "lorem.models.mlip.Lorem"
MODEL_CLASSES = (MODEL_CLASS, "lorem.models.Lorem", "lorem.Lorem")


class JaxModel(NamedTuple):
    """A model of lorem-jax."""

    settings: dict[str, Any]  # arguments of its class `Lorem`
    baseline: dict[int, float]  # energy of each species, in eV
    parameters: dict[str, np.ndarray]  # path of a leaf, joined by "/" -> its value


def read_jax_model(folder: str | Path) -> JaxModel:
    """Read the model of a checkpoint folder of lorem-jax.

    :raises FileNotFoundError: if one of the three files is missing
    :raises ValueError: for contents that lorem-jax would not write, and for classes other
        than ``Lorem``, naming them
    """
    model = Path(folder) / "model"
    return JaxModel(
        settings=_settings(_read_yaml(model / "model.yaml")),
        baseline=_baseline(_read_yaml(model / "baseline.yaml")),
        parameters=read_parameters((model / "model.msgpack").read_bytes()),
    )


def write_jax_model(folder: str | Path, jax_model: JaxModel) -> None:
    """Write a checkpoint folder that lorem-jax's ``Calculator.from_checkpoint`` reads.

    :raises FileExistsError: if the folder holds a model already
    """
    model = Path(folder) / "model"
    model.mkdir(parents=True)
    settings = {MODEL_CLASS: jax_model.settings}
    _write_yaml(model / "model.yaml", settings)
    _write_yaml(model / "baseline.yaml", {"elemental": jax_model.baseline})
    (model / "model.msgpack").write_bytes(write_parameters(jax_model.parameters))


def read_parameters(data: bytes) -> dict[str, np.ndarray]:
    """Arrays of a parameter tree that flax has serialized, by their path.

    :raises ValueError: for anything but nested maps of arrays
    """
    tree = msgpack.unpackb(data, ext_hook=_unpack_array, strict_map_key=False)
    parameters: dict[str, np.ndarray] = {}
    _flatten(tree, "", parameters)
    return parameters


def write_parameters(parameters: Mapping[str, np.ndarray]) -> bytes:
    """The reverse of :func:`read_parameters`, with the keys in flax's order."""
    tree: dict[str, Any] = {}
    for path in sorted(parameters, key=lambda path: path.split("/")):
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        array = parameters[path]
        packed = msgpack.packb((array.shape, array.dtype.name, array.tobytes()))
        node[name] = msgpack.ExtType(NDARRAY, packed)
    return msgpack.packb(tree)


def _unpack_array(code: int, data: bytes) -> np.ndarray:
    if code != NDARRAY:
        raise ValueError(f"parameters hold a MessagePack extension of type {code}")
    shape, dtype, buffer = msgpack.unpackb(data)
    return np.frombuffer(buffer, dtype=dtype).reshape(shape)


def _flatten(node: Any, path: str, parameters: dict[str, np.ndarray]) -> None:
    """Collect the leaves below ``node`` in ``parameters``."""
    if isinstance(node, np.ndarray):
        parameters[path] = node
        return
    if not isinstance(node, dict):
        raise ValueError(f"parameter '{path}' is a {type(node).__name__}, not an array")
    if CHUNKED in node:
        raise ValueError(f"parameter '{path}' is split into chunks: not supported")
    for name, child in node.items():
        _flatten(child, f"{path}/{name}" if path else str(name), parameters)


def _settings(content: Any) -> dict[str, Any]:
    """Arguments of the model's class from ``{class: {argument: value}}``."""
    if not isinstance(content, dict) or len(content) != 1:
        raise ValueError("model.yaml must hold exactly one class with its settings")
    name, settings = next(iter(content.items()))
    if name not in MODEL_CLASSES:
        raise ValueError(f"model class '{name}' is not supported, only '{MODEL_CLASS}'")
    return dict(settings or {})


def _baseline(content: Any) -> dict[int, float]:
    """Energies of the species from ``{"elemental": {Z: energy}}``."""
    if not isinstance(content, dict) or set(content) != {"elemental"}:
        raise ValueError("baseline.yaml must hold 'elemental' and nothing else")
    return {int(z): float(energy) for z, energy in content["elemental"].items()}


def _read_yaml(path: Path) -> Any:
    with path.open() as file:
        return yaml.safe_load(file)


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    with path.open("w") as file:
        yaml.safe_dump(content, file, default_flow_style=False)
