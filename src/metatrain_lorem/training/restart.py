"""A restart does not take for granted that data and options are those of before."""

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from metatrain.utils.abc import ModelInterface

from .data_checks import Inspection, tell_unseen_types
from .frames import OPTIONS_FILE
from .record import make_record, tell_ignored_options, tell_trained_on, what_changed


if TYPE_CHECKING:
    from ..trainer import Trainer


def compare(
    trainer: "Trainer",
    model: ModelInterface,
    training: Inspection,
    validation: Inspection,
    checkpoint_dir: str,
) -> None:
    """Compare data and options with those of the checkpoint; write the new record.

    The best model is forgotten if it was judged on something else.

    :param trainer: as it was loaded, or new
    :param training: of the present training data
    :param validation: of the present validation data
    """
    old = trainer.record
    info, hypers = model.dataset_info, trainer.hypers
    options_file = str(Path(checkpoint_dir) / OPTIONS_FILE)
    data = (training, validation, info.targets, info.atomic_types)
    trainer.record = make_record(*data, hypers, options_file, old)
    if trainer.old_hypers is not None:
        tell_ignored_options(trainer.old_hypers, hypers)
    elif hypers["finetune"]["read_from"] is None:
        tell_unseen_types(training, validation, model.atomic_types)
    if old is not None:
        tell_trained_on(
            old["training"],
            validation,
            "have been trained on before the restart: the data were divided anew, as "
            f"`seed` differs. '{old['options']}' continues the run",
        )
    else:
        trained = trainer.record["training"]
        tell_trained_on(trained, validation, "are trained on, too")
    if trainer.best_model_state_dict is None:
        return
    if old is not None:
        changed = what_changed(old, trainer.record)
    else:
        changed = [] if _fits(trainer, model) else ["targets or atomic types"]
        if not changed and trainer.best_metric < math.inf:
            logging.warning(
                "The checkpoint is of an earlier version, which does not tell on which "
                "validation data its best model was judged: taken to be the same"
            )
    if changed:
        _forget_best(trainer, changed)


def _forget_best(trainer: "Trainer", changed: list[str]) -> None:
    logging.warning(
        f"The best model so far (epoch {trainer.best_epoch}, "
        f"`{trainer.hypers['best_model_metric']}` {trainer.best_metric:.3g}) does not "
        f"count any more, because of other {', '.join(changed)}: the best one from here "
        "on will be exported"
    )
    trainer.best_epoch, trainer.best_metric = None, math.inf
    trainer.best_model_state_dict = None


def _fits(trainer: "Trainer", model: ModelInterface) -> bool:
    """Whether the model can take the weights of the best one."""
    old, new = trainer.best_model_state_dict or {}, model.state_dict()
    shapes = [
        {k: v.shape for k, v in state.items() if isinstance(v, torch.Tensor)}
        for state in (old, new)
    ]
    return shapes[0] == shapes[1]
