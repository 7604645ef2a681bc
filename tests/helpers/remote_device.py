"""A pretended GPU: tensors of a device of its own, whose numbers lie in main memory.

As on a GPU, an operation on tensors of both devices is an error. What reads numbers, or
makes a tensor whose shape depends on them, is noted, and what copies numbers to the device.

To import this module registers the device with torch: do so in a process of its own.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


NAME = "remote"
_LISTENERS: list[list[str]] = []
COPIES = ("aten::_to_copy", "aten::copy_")
SHAPED_BY_NUMBERS = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}


class _Backend(backend_registration._DummyBackendModule):
    """What torch wants to know of a device."""

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.zeros(1)

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        pass


backend_registration._setup_privateuseone_for_python_backend(NAME, _Backend())


class RemoteTensor(torch.Tensor):
    """A tensor on the pretended device."""

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor) -> "RemoteTensor":
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=torch.device(NAME, 0),
        )
        tensor.numbers = numbers
        return tensor

    def __repr__(self, **_: Any) -> str:
        return f"RemoteTensor({self.numbers})"

    def tolist(self) -> Any:
        _note("read")
        return self.numbers.tolist()

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        return _run(function, arguments, options or {})


class _Operations(TorchDispatchMode):
    """Catches what makes tensors out of numbers, too."""

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        return _run(function, arguments, options or {})


@contextmanager
def remote_device() -> Iterator[str]:
    """Name of the device, to which tensors and modules are moved by ``to``."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with _Operations():
        yield NAME


@contextmanager
def transfers() -> Iterator[list[str]]:
    """Yields a list of what moves between host and device, with function and line."""
    noted: list[str] = []
    _LISTENERS.append(noted)
    yield noted
    _LISTENERS.remove(noted)


def _run(function: Any, arguments: Any, options: dict[str, Any]) -> Any:
    """One operation, on the numbers in main memory."""
    tensors = [x for x in tree_leaves((arguments, options)) if torch.is_tensor(x)]
    remote = [x for x in tensors if isinstance(x, RemoteTensor)]
    name = function._schema.name
    target = options.get("device")
    is_remote = bool(remote) if target is None else torch.device(target).type == NAME
    if remote and name not in COPIES:
        for tensor in tensors:
            # Scalars are passed along with the call of an operation
            if tensor.dim() > 0 and not isinstance(tensor, RemoteTensor):
                raise RuntimeError(f"{name}: tensors on two devices")
    if remote and (not is_remote or _is_shaped_by_numbers(function, remote)):
        _note("read")
    if is_remote and name in COPIES and len(remote) < len(tensors):
        _note("upload")
    if target is not None:
        options = {**options, "device": "cpu"}
    owners = {id(x.numbers): x for x in remote}  # in-place operations return theirs

    def wrapped(value: Any) -> Any:
        if not torch.is_tensor(value) or not is_remote:
            return value
        return owners[id(value)] if id(value) in owners else RemoteTensor(value)

    def unwrapped(value: Any) -> Any:
        return value.numbers if isinstance(value, RemoteTensor) else value

    inputs, named_inputs = tree_map(unwrapped, (arguments, options))
    return tree_map(wrapped, function(*inputs, **named_inputs))


def _is_shaped_by_numbers(function: Any, inputs: list[RemoteTensor]) -> bool:
    if function is torch.ops.aten.index.Tensor:
        return any(x.dtype == torch.bool for x in inputs[1:])
    return not SHAPED_BY_NUMBERS.isdisjoint(function.tags)


def _note(kind: str) -> None:
    frames = [f for f in traceback.extract_stack() if "metatrain_lorem" in f.filename]
    place = " <- ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))
    for noted in _LISTENERS:
        noted.append(f"{kind} in {place}")
