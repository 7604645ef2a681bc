"""Models of lorem-jax, read from and written to its checkpoint folders.

A folder holds ``model/model.yaml`` (class and settings), ``model/baseline.yaml`` (energies
of isolated species) and ``model/model.msgpack`` (parameters). The last is what
``flax.serialization`` writes: nested maps whose leaves are MessagePack extensions of type
1, each a packed triple of shape, dtype and row-major bytes. Neither JAX nor flax is needed.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
import yaml


# MessagePack extension type of arrays, see `_MsgpackExtType` in flax.serialization
NDARRAY = 1
# Types of arrays that are read; models have the first two, or are refused by name
DTYPES = ("float32", "float64", "float16", "int32", "int64", "uint8", "bool")
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
        than ``Lorem``, naming file and content
    """
    model = Path(folder) / "model"
    with _naming(model / "model.yaml") as path:
        settings = _settings(_read_yaml(path))
    with _naming(model / "baseline.yaml") as path:
        baseline = _baseline(_read_yaml(path))
    with _naming(model / "model.msgpack") as path:
        parameters = read_parameters(path.read_bytes())
    return JaxModel(settings, baseline, parameters)


@contextmanager
def _naming(path: Path) -> Iterator[Path]:
    """Name the file in errors of its content, also if it is not text or not there."""
    try:
        yield path
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no file '{path}': give the folder of a checkpoint of lorem-jax, "
            "whose folder 'model' holds model.yaml, baseline.yaml and model.msgpack"
        ) from error
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from error


def write_jax_model(folder: str | Path, jax_model: JaxModel, replace: bool = False) -> None:
    """Write a checkpoint folder that lorem-jax's ``Calculator.from_checkpoint`` reads.

    :param replace: whether to write over a model that is there
    :raises FileExistsError: if it may not
    """
    model = Path(folder) / "model"
    check_free(model, replace)
    model.mkdir(parents=True, exist_ok=True)
    settings = {MODEL_CLASS: jax_model.settings}
    _write_yaml(model / "model.yaml", settings)
    _write_yaml(model / "baseline.yaml", {"elemental": jax_model.baseline})
    (model / "model.msgpack").write_bytes(write_parameters(jax_model.parameters))


def check_free(path: str | Path, replace: bool) -> None:
    """:raises FileExistsError: for a path that exists, unless it may be replaced"""
    if Path(path).exists() and not replace:
        raise FileExistsError(f"'{path}' exists: choose another one, or add --force")


def read_parameters(data: bytes) -> dict[str, np.ndarray]:
    """Arrays of a parameter tree that flax has serialized, by their path.

    :raises ValueError: for anything but nested maps of finite arrays
    """
    try:
        tree = msgpack.unpackb(data, ext_hook=_unpack_array, strict_map_key=False)
    except (msgpack.UnpackException, msgpack.ExtraData, ValueError) as error:
        raise ValueError(f"damaged, or not written by flax ({error})") from error
    parameters: dict[str, np.ndarray] = {}
    _flatten(tree, "", parameters)
    for path, values in parameters.items():
        if not np.isfinite(values).all():
            raise ValueError(f"parameter '{path}' is not finite: a training that diverged")
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
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"parameters hold an array of type '{dtype}'")
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
    if not isinstance(settings or {}, dict):
        raise ValueError(f"the settings of '{name}' are {settings!r}, not 'name: value'")
    return dict(settings or {})


def _baseline(content: Any) -> dict[int, float]:
    """Energies of the species from ``{"elemental": {Z: energy}}``."""
    if not isinstance(content, dict) or set(content) != {"elemental"}:
        raise ValueError("baseline.yaml must hold 'elemental' and nothing else")
    elemental = content["elemental"]
    if not isinstance(elemental, dict) or not elemental:
        raise ValueError(f"'elemental' is {elemental!r}, not 'atomic number: energy'")
    for z, energy in elemental.items():
        is_type = isinstance(z, int) and not isinstance(z, bool) and z > 0
        is_energy = isinstance(energy, int | float) and math.isfinite(energy)
        if not is_type or not is_energy:
            raise ValueError(
                f"'elemental' holds {z!r}: {energy!r}, which is no atomic number with a "
                "finite energy"
            )
    return {int(z): float(energy) for z, energy in elemental.items()}


def _read_yaml(path: Path) -> Any:
    with path.open() as file:
        try:
            return yaml.safe_load(file)
        except yaml.YAMLError as error:
            raise ValueError(f"no plain YAML ({' '.join(str(error).split())})") from error


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    with path.open("w") as file:
        yaml.safe_dump(content, file, default_flow_style=False)
