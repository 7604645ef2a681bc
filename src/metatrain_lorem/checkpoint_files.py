"""Checkpoints read without executing what a file brings along.

A checkpoint is a pickle, which may call any function when it is loaded. Here, classes that
no checkpoint of metatrain needs are refused, so that the file is data and nothing more.
metatrain itself (``mtt train --restart``, ``mtt export``) does not do that.
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from metatrain.utils.data import DatasetInfo, TargetInfo
from metatrain.utils.io import model_from_checkpoint

from .model import ARCHITECTURE, LOREM
from .trainer import Trainer
from .training.diagnosis import check_weights


# Of the layouts of targets and the metadata, which are C++ objects of metatensor
ALLOWED = (DatasetInfo, TargetInfo, torch.ScriptObject)
VERSIONS = {
    "model": LOREM.__checkpoint_version__,
    "trainer": Trainer.__checkpoint_version__,
}
KEYS = ("model_data", "model_state_dict", "best_model_state_dict", "model_ckpt_version")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint of LOREM.

    :raises FileNotFoundError: if there is no such file
    :raises ValueError: for a file that is damaged, of another kind, of a later version, or
        that wants to execute something
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint '{path}'")
    content = _load(path)
    name = content.get("architecture_name") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise ValueError(f"'{path}' is not a checkpoint of metatrain")
    if name != ARCHITECTURE:
        raise ValueError(f"'{path}' is a checkpoint of '{name}', not of LOREM")
    missing = [key for key in KEYS if key not in content]
    if missing:
        raise ValueError(f"'{path}' is damaged: it lacks {', '.join(missing)}")
    for kind, current in VERSIONS.items():
        version = content.get(f"{kind}_ckpt_version", 1)
        if not isinstance(version, int) or version > current:
            raise ValueError(
                f"'{path}' is of a later version of metatrain-lorem ({kind} version "
                f"{version}, this one reads up to {current}): upgrade the package "
                "metatrain-lorem"
            )
    return content


def read_model(path: str | Path) -> LOREM:
    """The best model of a checkpoint of LOREM, without executing what the file brings.

    :raises FileNotFoundError: see :func:`read_checkpoint`
    :raises ValueError: besides, for weights that do not fit or are not finite
    """
    content = read_checkpoint(path)
    try:
        model = model_from_checkpoint(content, "export")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"'{path}' is damaged ({_reason(error)})") from error
    except RuntimeError as error:  # torch's, of weights with other names or shapes
        raise ValueError(
            f"'{path}' is damaged, its weights do not fit: {_reason(error)}"
        ) from error
    try:
        check_weights(model, f"in '{path}'", "take an earlier checkpoint")
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return model


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"


def _load(path: Path) -> Any:
    damaged = f"'{path}' is damaged, or no checkpoint"
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()  # torch does not compare checksums
            is_exported = any(n.endswith("/constants.pkl") for n in archive.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(damaged) from error
    if broken is not None:
        raise ValueError(f"{damaged} (checksum of {broken})")
    if is_exported:
        raise ValueError(f"'{path}' is an exported model, not a checkpoint")
    try:
        with torch.serialization.safe_globals(list(ALLOWED)):
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a pickle can be wrong in any way
        text = str(error)
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL " in text:
            culprit = text.split("GLOBAL ")[-1].split()[0]
            raise ValueError(
                f"'{path}' asks for '{culprit}', which no checkpoint of LOREM holds: not "
                "loaded, as it might execute something"
            ) from error
        raise ValueError(damaged) from error
