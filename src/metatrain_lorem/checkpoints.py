"""Versions of checkpoints.

When the layout of a checkpoint changes, increase ``__checkpoint_version__`` of the model
or the trainer, write a function here that rewrites a checkpoint in place, and append it to
``UPDATES``.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def model_update_v1_v2(checkpoint: dict[str, Any]) -> None:
    """Two hyper-parameters are new."""
    hypers = checkpoint["model_data"]["model_hypers"]
    hypers.update(smooth_norms=False, zero_sum_targets=[])


def model_update_v2_v3(checkpoint: dict[str, Any]) -> None:
    """The choice of the norms has a third form, the default from now on."""
    hypers = checkpoint["model_data"]["model_hypers"]
    hypers["norms"] = "signed" if hypers.pop("smooth_norms") else "paper"


def model_update_v3_v4(checkpoint: dict[str, Any]) -> None:
    """Cutoffs are smooth by default, in the Coulomb sums by charges of finite extent."""
    hypers = checkpoint["model_data"]["model_hypers"]
    hypers["radial_functions"] = "paper"
    long_range = hypers["long_range"]
    if long_range["smearing"] is None and long_range["accuracy"] != "reference":
        long_range["smearing"] = hypers["cutoff"] / 4


def model_update_v4_v5(checkpoint: dict[str, Any]) -> None:
    """Total charge and spin multiplicity are new."""
    hypers = checkpoint["model_data"]["model_hypers"]
    hypers.update(system_conditioning=False, max_charge=10, max_spin_multiplicity=10)
    hypers["long_range"]["fix_total_charge"] = False


def trainer_update_v1_v2(checkpoint: dict[str, Any]) -> None:
    """Steps of an epoch that is not complete, and a record of the data, are new."""
    checkpoint.update(batch=0, record=None)


def trainer_update_v2_v3(checkpoint: dict[str, Any]) -> None:
    """The warm-up may be given in epochs."""
    checkpoint["train_hypers"]["warmup_epochs"] = None


# From version 1 to 2, from 2 to 3, ...
UPDATES: dict[str, list[Callable[[dict[str, Any]], None]]] = {
    "model_ckpt_version": [
        model_update_v1_v2,
        model_update_v2_v3,
        model_update_v3_v4,
        model_update_v4_v5,
    ],
    "trainer_ckpt_version": [trainer_update_v1_v2, trainer_update_v2_v3],
}


def upgrade(checkpoint: dict[str, Any], version_key: str, current: int) -> dict[str, Any]:
    """Bring a checkpoint to the current version, one step at a time.

    :param version_key: ``model_ckpt_version`` or ``trainer_ckpt_version``
    :param current: version of the installed code
    :raises RuntimeError: for a checkpoint of a later version
    """
    version = checkpoint[version_key]
    if version > current:
        kind = version_key.split("_")[0]
        message = (
            f"Unable to upgrade the checkpoint: the checkpoint is using {kind} version "
            f"{version}, while the current {kind} version is {current}; "
            "upgrade the package metatrain-lorem"
        )
        logging.error(message)  # metatrain replaces the message of the error by its own
        raise RuntimeError(message)
    for update in UPDATES[version_key][version - 1 : current - 1]:
        update(checkpoint)
    checkpoint[version_key] = current
    return checkpoint


@contextmanager
def told() -> Iterator[None]:
    """Log why a checkpoint cannot be loaded, which metatrain leaves out of its message."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())
        logging.error(
            f"The checkpoint is damaged, or was edited: {type(error).__name__}: {reason}"
        )
        raise
