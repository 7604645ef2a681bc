"""Training loop of LOREM, built from metatrain's utilities."""

import copy
import gc
import logging
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from metatrain.utils.abc import ModelInterface, TrainerInterface
from metatrain.utils.io import check_file_extension
from metatrain.utils.logging import ROOT_LOGGER, MetricLogger
from torch.nn.parallel import DistributedDataParallel

from . import checkpoints
from .documentation import TrainerHypers
from .hypers import check_training_hypers
from .training import restart
from .training.baseline import fit_baseline, preparation
from .training.batch import Conversion
from .training.batches import AnyDataset, Batches, training_batches, validation_batches
from .training.data_checks import Inspection
from .training.determination import selected_metric
from .training.diagnosis import check_weights, explain_divergence
from .training.finetuning import set_up_finetuning
from .training.objective import Objective
from .training.optimization import (
    build_optimizers,
    learning_rate,
    optimize,
    restore_optimizers,
)
from .training.output_file import check_own_output
from .training.predictions import Predictor
from .training.process import Process, start_process
from .training.record import Record
from .training.saving import LATEST, Saver, save_atomically
from .training.signals import Stopped, StopRequests
from .training.start import inspect_data


class Run(NamedTuple):
    """What stays the same while a model trains."""

    process: Process
    model: ModelInterface
    predictor: Predictor
    network: torch.nn.Module  # the predictor, or its wrapper for several processes
    objective: Objective
    optimizers: list[torch.optim.Optimizer]
    num_steps: int
    saver: Saver
    stop: StopRequests
    inspection: Inspection


class Trainer(TrainerInterface[TrainerHypers]):
    """Trainer of LOREM.

    Learning rate and structures of each optimizer step depend on seed and step alone,
    so that a restarted run repeats the steps of an uninterrupted one, bit for bit. It may
    be interrupted after any step.

    :param hypers: see :class:`~metatrain_lorem.documentation.TrainerHypers`
    """

    __checkpoint_version__ = 3

    def __init__(self, hypers: TrainerHypers) -> None:
        super().__init__(hypers)
        self.epoch: int | None = None  # the last completed one
        self.batch = 0  # number of optimizer steps since then
        self.seed = torch.initial_seed() % 2**31  # of the order of the structures
        self.optimizer_state_dict: list[dict[str, Any]] | None = None
        self.best_epoch: int | None = None
        self.best_metric: float = math.inf
        self.best_model_state_dict: dict[str, Any] | None = None
        self.record: Record | None = None  # of the data, see there
        self.old_hypers: dict[str, Any] | None = None  # of the run that is continued

    def train(
        self,
        model: ModelInterface,
        dtype: torch.dtype,
        devices: list[torch.device],
        train_datasets: list[AnyDataset],
        val_datasets: list[AnyDataset],
        checkpoint_dir: str,
    ) -> None:
        targets = list(model.dataset_info.targets)
        check_training_hypers(self.hypers, targets)
        process = start_process(devices, self.hypers)
        self.seed = process.agree(self.seed)
        check_own_output(is_main=process.rank == 0)
        data = (model, train_datasets, val_datasets)
        inspections = inspect_data(*data, self.hypers, checkpoint_dir)
        restart.compare(self, model, *inspections, checkpoint_dir)
        set_up_finetuning(model, self.hypers["finetune"], begins=self.epoch is None)
        model.to(device=process.device, dtype=dtype).train()
        check_weights(model, "from the start", "take an earlier checkpoint")
        distributed = process.distributed
        fit_baseline(model, train_datasets, self.hypers, distributed, checkpoint_dir)

        transforms = preparation(model, process.device)
        conversion = Conversion(
            model.dataset_info.targets,
            self.hypers["per_structure_targets"],
            model.neighbor_options,
            model.largest_states,
        )
        share = (process.rank, process.world_size)
        shared = (transforms, conversion, self.hypers, *share)
        batches = training_batches(train_datasets, *shared, seed=self.seed)
        val_batches = validation_batches(val_datasets, *shared)

        saver = Saver(checkpoint_dir, process.rank == 0)
        objective = Objective(model, dtype, process.device, conversion, self.hypers)
        of_data = (len(batches), saver, inspections[0])
        run = self._set_up_run(process, model, objective, *of_data)
        logging.info(f"Training on {batches.describe()}, {run.num_steps} steps in all")
        stopped = self._train_safely(run, batches, val_batches)
        if distributed:
            # First the wrapper of the model: if its reference to the processes' group
            # is the last one, it waits for threads that wait for Python's lock.
            del run
            gc.collect()
            torch.distributed.destroy_process_group()
        if stopped:
            raise SystemExit(128 + stopped)

    def _train_safely(self, run: Run, batches: Batches, val_batches: Batches) -> int:
        """Train; whatever ends it, what was learned is saved first.

        :return: number of the signal that ended it, or 0
        """
        try:
            with run.stop:
                self._train_epochs(run, batches, val_batches)
        except Stopped as stopped:
            saved = self._save(run, LATEST)
            how = f"'{run.saver.folder / LATEST}' continues it" if saved else "not saved"
            logging.warning(f"Training {stopped} after {self._position()}: {how}")
            return stopped.number
        except Exception as error:
            self._rescue(run, error)
            raise
        return 0

    def _train_epochs(self, run: Run, batches: Batches, val_batches: Batches) -> None:
        """From the epoch after the last completed one to the last one."""
        first_epoch = 0 if self.epoch is None else self.epoch + 1
        num_epochs = self.hypers["num_epochs"]
        if first_epoch >= num_epochs:
            logging.warning(
                f"Nothing is trained: `num_epochs` is {num_epochs}, and {first_epoch} "
                "epochs are done"
            )
        logger = None
        for epoch in range(first_epoch, num_epochs):
            logs = epoch == first_epoch or epoch % self.hypers["log_interval"] == 0
            metrics = [
                self._train_epoch(run, batches, epoch, logs),
                self._validate(run, val_batches, epoch),
            ]
            if logs and metrics[0]:  # else all steps of the epoch were done before
                logger = logger or _metric_logger(run.model, metrics)
                rate = run.optimizers[0].param_groups[0]["lr"]
                logger.log(metrics, epoch, run.process.rank, rate)
            self._end_epoch(run, epoch, metrics[1])
            interval = self.hypers["checkpoint_interval"]
            if epoch % interval == 0 or epoch == num_epochs - 1:
                self._save(run, f"model_{epoch}.ckpt")

    def _set_up_run(
        self,
        process: Process,
        model: ModelInterface,
        objective: Objective,
        steps_per_epoch: int,
        saver: Saver,
        inspection: Inspection,
    ) -> Run:
        """Build network and optimizers; say what is going to be trained."""
        predictor = Predictor(model, objective.scales)
        network: torch.nn.Module = predictor
        if process.distributed:
            on_gpu = process.device.type == "cuda"
            device_ids = [process.device] if on_gpu else None
            network = DistributedDataParallel(predictor, device_ids=device_ids)
        optimizers = build_optimizers(model, self.hypers)
        if self.optimizer_state_dict is not None:
            restore_optimizers(optimizers, self.optimizer_state_dict)

        num_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        logging.info(
            f"{num_parameters} parameters in {objective.dtype} on {process.world_size} x "
            f"{process.device}. Loss: {objective.describe()}"
        )
        num_steps = self.hypers["num_epochs"] * steps_per_epoch
        shared = (optimizers, num_steps, saver, StopRequests(), inspection)
        return Run(process, model, predictor, network, objective, *shared)

    def _train_epoch(
        self, run: Run, batches: Batches, epoch: int, logs: bool
    ) -> dict[str, float]:
        """Optimize on each batch once; return the loss and, if ``logs``, the errors."""
        process = run.process
        errors = run.objective.errors()
        for number, batch in enumerate(batches.epoch(epoch)):
            if number < self.batch:
                continue  # done before the restart
            step = epoch * len(batches) + number
            rate = learning_rate(step, run.num_steps, self.hypers)
            evaluation = run.objective(run.network, batch, is_training=True)
            norm = self._optimize(run, evaluation.loss, rate)
            errors.add(evaluation, only_loss=not logs)
            if not math.isfinite(norm):
                name_of = run.inspection.name_of
                reason = explain_divergence(run.model, batch, evaluation, name_of)
                raise RuntimeError(
                    f"training diverged in epoch {epoch}, batch {number} (of "
                    f"{len(batches)}, from 0): loss {evaluation.loss.item()}, gradient "
                    f"norm {norm}. {reason}"
                )
            self.batch = number + 1
            run.stop.check(process.device, process.distributed)
            if run.saver.is_due():
                self._save(run, LATEST)
        return errors.summary(process.device, process.distributed)

    def _optimize(self, run: Run, loss: torch.Tensor, rate: float) -> float:
        is_distributed = run.process.distributed
        return optimize(run.optimizers, loss, rate, self.hypers, is_distributed)

    def _validate(self, run: Run, batches: Batches, epoch: int) -> dict[str, float]:
        """Loss and errors of all batches, whose number may differ among processes."""
        check_weights(run.model, f"after epoch {epoch}", "reduce `learning_rate`")
        process = run.process
        errors = run.objective.errors()
        targets = run.model.dataset_info.targets.values()
        with torch.set_grad_enabled(any(target.gradients for target in targets)):
            for batch in batches.epoch(epoch):
                # not `run.network`, which would wait for the other processes
                errors.add(run.objective(run.predictor, batch, is_training=False))
                if not process.distributed:
                    run.stop.check(process.device, is_distributed=False)
        summary = errors.summary(process.device, process.distributed)
        if not math.isfinite(summary.get("loss", 0.0)):
            losses = torch.stack(errors.losses).tolist()
            raise RuntimeError(
                f"validation failed in epoch {epoch}: losses of the batches (process "
                f"{process.rank}) {losses}. Check the validation structures"
            )
        return summary

    def _end_epoch(self, run: Run, epoch: int, metrics: dict[str, float]) -> None:
        """Keep the best model."""
        self.epoch, self.batch = epoch, 0
        metric: float = -epoch  # without validation, the latest model is the best one
        if metrics:
            metric = selected_metric(metrics, self.hypers["best_model_metric"])
        if metric < self.best_metric:
            self.best_metric = metric
            self.best_epoch = epoch
            self.best_model_state_dict = copy.deepcopy(
                run.model.get_checkpoint()["model_state_dict"]
            )
        # Refers to the optimizers' tensors, which belong to the weights at any time
        self.optimizer_state_dict = [o.state_dict() for o in run.optimizers]

    def _save(self, run: Run, name: str) -> bool:
        self.optimizer_state_dict = [o.state_dict() for o in run.optimizers]
        return run.saver.save(name, lambda: self._checkpoint(run.model))

    def _rescue(self, run: Run, error: Exception) -> None:
        """Save what was learned before an error."""
        try:
            check_weights(run.model, "", "")
            saved = self._save(run, LATEST)
        except Exception as another:  # such as those of a broken GPU; the first one counts
            logging.warning(f"The state before the error cannot be saved: {another}")
            return
        if saved:
            logging.warning(
                f"'{run.saver.folder / LATEST}' holds what was learned until the error, "
                f"{self._position()}, and the best model of it"
            )

    def _position(self) -> str:
        done = 0 if self.epoch is None else self.epoch + 1
        return f"{done} epochs and {self.batch} steps"

    def _checkpoint(self, model: ModelInterface) -> dict[str, Any]:
        checkpoint = model.get_checkpoint()
        checkpoint["trainer_ckpt_version"] = self.__checkpoint_version__
        checkpoint["train_hypers"] = self.hypers
        for key in STATE:
            checkpoint[key] = getattr(self, key)
        if self.best_model_state_dict is not None:  # else it is the current model
            checkpoint["best_model_state_dict"] = self.best_model_state_dict
        return checkpoint

    def save_checkpoint(self, model: ModelInterface, path: str | Path) -> None:
        """:raises OSError: if it cannot be written; an old file is then kept"""
        save_atomically(self._checkpoint(model), check_file_extension(path, ".ckpt"))

    @classmethod
    def load_checkpoint(
        cls,
        checkpoint: dict[str, Any],
        hypers: TrainerHypers,
        context: Literal["restart", "finetune"],
    ) -> "Trainer":
        trainer = cls(hypers)
        if context == "restart":
            with checkpoints.told():
                trainer.old_hypers = checkpoint["train_hypers"]
                for key in (*STATE, "best_model_state_dict"):
                    setattr(trainer, key, checkpoint[key])
        return trainer

    @classmethod
    def upgrade_checkpoint(cls, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return checkpoints.upgrade(
            checkpoint, "trainer_ckpt_version", cls.__checkpoint_version__
        )


# What a checkpoint keeps of a trainer, besides the best model
STATE = (
    *("epoch", "batch", "seed", "optimizer_state_dict"),
    *("best_epoch", "best_metric", "record"),
)


def _metric_logger(model: ModelInterface, metrics: list[dict[str, float]]) -> MetricLogger:
    """Logger of the errors of training and validation, in meV where it applies."""
    names = ["training", "validation"]
    return MetricLogger(ROOT_LOGGER, model.dataset_info, metrics, names)
