"""Versions of checkpoints.

When the layout of a checkpoint changes, increase ``__checkpoint_version__`` of the model
or the trainer, and add a function ``model_update_v1_v2`` or ``trainer_update_v1_v2`` here
that rewrites a checkpoint in place.
"""

from typing import Any


def model_update_v1_v2(checkpoint: dict[str, Any]) -> None:
    """Two hyper-parameters are new."""
    hypers = checkpoint["model_data"]["model_hypers"]
    hypers.update(smooth_norms=False, zero_sum_targets=[])


def model_update_v2_v3(checkpoint: dict[str, Any]) -> None:
    """The choice of the norms has a third form, the default from now on."""
    hypers = checkpoint["model_data"]["model_hypers"]
    hypers["norms"] = "signed" if hypers.pop("smooth_norms") else "paper"


def upgrade(checkpoint: dict[str, Any], version_key: str, current: int) -> dict[str, Any]:
    """Bring a checkpoint to the current version, one step at a time.

    :param version_key: ``model_ckpt_version`` or ``trainer_ckpt_version``
    :param current: version of the installed code
    :raises RuntimeError: for a checkpoint of a later version
    """
    kind = version_key.split("_")[0]
    while checkpoint[version_key] < current:
        version = checkpoint[version_key]
        globals()[f"{kind}_update_v{version}_v{version + 1}"](checkpoint)
        checkpoint[version_key] = version + 1
    if checkpoint[version_key] != current:
        raise RuntimeError(
            f"Unable to upgrade the checkpoint: the checkpoint is using {kind} version "
            f"{checkpoint[version_key]}, while the current {kind} version is {current}; "
            "upgrade the package metatrain-lorem"
        )
    return checkpoint
