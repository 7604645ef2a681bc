"""Heads of new targets that start from those of known ones."""

from collections.abc import Mapping
from typing import Any

import torch
from metatrain.utils.abc import ModelInterface


def set_up_finetuning(
    model: ModelInterface, hypers: Mapping[str, Any], begins: bool
) -> None:
    """Record where the weights came from; copy heads when fine-tuning begins.

    :param hypers: hyper-parameter ``finetune``
    :param begins: whether no epoch has been completed
    :raises ValueError: for a head that does not exist
    """
    if hypers["read_from"] is None:
        return
    model.finetune_config = dict(hypers)
    if begins:
        for target, source in hypers["inherit_heads"].items():
            _copy_head(model, source, target)


def _copy_head(model: torch.nn.Module, source: str, target: str) -> None:
    """Start the head of target ``target`` from the weights of that of ``source``."""
    parameters = dict(model.named_parameters())
    names = [name for name in parameters if f".{source}." in name]
    new_names = [name.replace(f".{source}.", f".{target}.") for name in names]
    if not names or not all(name in parameters for name in new_names):
        raise ValueError(f"no head for '{target}' to inherit the weights of '{source}'")
    for name, new_name in zip(names, new_names):
        parameters[new_name].data.copy_(parameters[name].data)
