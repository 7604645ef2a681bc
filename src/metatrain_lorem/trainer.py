"""Training loop of LOREM, built from metatrain's utilities."""

import copy
import gc
import logging
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from metatrain.utils.abc import ModelInterface, TrainerInterface
from metatrain.utils.distributed.distributed_data_parallel import (
    DistributedDataParallel,
)
from metatrain.utils.distributed.slurm import (
    initialize_slurm_nccl_process_group,
    resolve_distributed,
)
from metatrain.utils.io import check_file_extension
from metatrain.utils.logging import ROOT_LOGGER, MetricLogger
from metatrain.utils.metrics import get_selected_metric

from . import checkpoints
from .documentation import TrainerHypers
from .hypers import check_training_hypers
from .training.baseline import fit_baseline, preparation
from .training.batches import AnyDataset, Batches, training_batches, validation_batches
from .training.objective import Errors, Objective
from .training.optimization import build_optimizers, learning_rate, restore_optimizers


class Process(NamedTuple):
    """This one of the ``world_size`` processes that train together."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
    distributed: bool = False


class Run(NamedTuple):
    """What stays the same while a model trains."""

    process: Process
    model: ModelInterface
    network: torch.nn.Module  # the model, or its wrapper for several processes
    objective: Objective
    optimizers: list[torch.optim.Optimizer]
    num_steps: int


class Trainer(TrainerInterface[TrainerHypers]):
    """Trainer of LOREM.

    Learning rate and structures of each optimizer step depend on seed and step alone,
    so that a restarted run repeats the steps of an uninterrupted one.

    :param hypers: see :class:`~metatrain_lorem.documentation.TrainerHypers`
    """

    __checkpoint_version__ = 1

    def __init__(self, hypers: TrainerHypers) -> None:
        super().__init__(hypers)
        self.epoch: int | None = None  # the last completed one
        self.seed = torch.initial_seed() % 2**31  # of the order of the structures
        self.optimizer_state_dict: list[dict[str, Any]] | None = None
        self.best_epoch: int | None = None
        self.best_metric: float = math.inf
        self.best_model_state_dict: dict[str, Any] | None = None

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
        process = self._start_process(devices)
        self._set_up_finetuning(model)
        model.to(device=process.device, dtype=dtype).train()
        distributed = process.distributed
        fit_baseline(model, train_datasets, self.hypers, distributed, checkpoint_dir)

        transforms = preparation(model, process.device)
        shared = (targets, transforms, self.hypers, process.rank, process.world_size)
        batches = training_batches(train_datasets, *shared, seed=self.seed)
        val_batches = validation_batches(val_datasets, *shared)

        run = self._set_up_run(process, model, dtype, len(batches))
        logging.info(f"Training on {batches.describe()}, {run.num_steps} steps in all")
        self._train_epochs(run, batches, val_batches, checkpoint_dir)
        if distributed:
            # First the wrapper of the model: if its reference to the processes' group
            # is the last one, it waits for threads that wait for Python's lock.
            del run
            gc.collect()
            torch.distributed.destroy_process_group()

    def _train_epochs(
        self, run: Run, batches: Batches, val_batches: Batches, checkpoint_dir: str
    ) -> None:
        """From the epoch after the last completed one to the last one."""
        first_epoch = 0 if self.epoch is None else self.epoch + 1
        logger = None
        for epoch in range(first_epoch, self.hypers["num_epochs"]):
            logs = epoch == first_epoch or epoch % self.hypers["log_interval"] == 0
            metrics = [
                self._train_epoch(run, batches, epoch, logs),
                self._validate(run, val_batches, epoch),
            ]
            if logs:
                logger = logger or _metric_logger(run.model, metrics)
                rate = run.optimizers[0].param_groups[0]["lr"]
                logger.log(metrics, epoch, run.process.rank, rate)
            self._end_epoch(run, epoch, metrics[1], checkpoint_dir)

    def _start_process(self, devices: list[torch.device]) -> Process:
        """Join the other processes, if any, and agree with them on the seed."""
        if not resolve_distributed(self.hypers.get("distributed")):
            return Process(devices[0])
        if len(devices) > 1:
            raise ValueError(
                "distributed training runs one process per GPU: set `device: cuda` "
                "instead of `multi-gpu`"
            )
        device, world_size, rank = initialize_slurm_nccl_process_group(
            self.hypers["distributed_port"]
        )
        seeds = [self.seed]
        torch.distributed.broadcast_object_list(seeds)
        self.seed = seeds[0]
        return Process(device, rank, world_size, distributed=True)

    def _set_up_finetuning(self, model: ModelInterface) -> None:
        """Record where the weights came from; copy heads when fine-tuning begins."""
        finetune = self.hypers["finetune"]
        if finetune["read_from"] is None:
            return
        model.finetune_config = dict(finetune)
        if self.epoch is None:
            for target, source in finetune["inherit_heads"].items():
                _copy_head(model, source, target)

    def _set_up_run(
        self,
        process: Process,
        model: ModelInterface,
        dtype: torch.dtype,
        steps_per_epoch: int,
    ) -> Run:
        """Build network, objective and optimizers; say what is going to be trained."""
        network = model
        if process.distributed:
            on_gpu = process.device.type == "cuda"
            device_ids = [process.device] if on_gpu else None
            network = DistributedDataParallel(model, device_ids=device_ids)
        objective = Objective(model, dtype, process.device, self.hypers)
        optimizers = build_optimizers(model, self.hypers)
        if self.optimizer_state_dict is not None:
            restore_optimizers(optimizers, self.optimizer_state_dict)

        num_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        logging.info(
            f"{num_parameters} parameters in {dtype} on {process.world_size} x "
            f"{process.device}. Loss: {objective.describe()}"
        )
        num_steps = self.hypers["num_epochs"] * steps_per_epoch
        return Run(process, model, network, objective, optimizers, num_steps)

    def _train_epoch(
        self, run: Run, batches: Batches, epoch: int, logs: bool
    ) -> dict[str, float]:
        """Optimize on each batch once; return the loss and, if ``logs``, the errors."""
        errors = Errors(run.model.scaler, self.hypers)
        for number, batch in enumerate(batches.epoch(epoch)):
            step = epoch * len(batches) + number
            rate = learning_rate(step, run.num_steps, self.hypers)
            evaluation = run.objective(run.network, batch, is_training=True)
            norm = self._optimize(run, evaluation.loss, rate)
            errors.add(evaluation, only_loss=not logs)
            if not math.isfinite(norm):
                raise RuntimeError(
                    f"training diverged in epoch {epoch}, batch {number} (of "
                    f"{len(batches)}, from 0): loss {errors.losses[-1]}, gradient norm "
                    f"{norm}. Check the structures and targets, reduce "
                    "`learning_rate`, or set `grad_clip_norm` or `grad_clip_value`"
                )
        return errors.summary(run.process.device, run.process.distributed)

    def _optimize(self, run: Run, loss: torch.Tensor, rate: float) -> float:
        """One optimizer step at learning rate ``rate``, left out if it would diverge.

        :return: norm of the gradients before clipping, the same in all processes
        """
        groups = [group for optimizer in run.optimizers for group in optimizer.param_groups]
        parameters = [parameter for group in groups for parameter in group["params"]]
        if run.process.distributed or not loss.requires_grad:
            # Processes wait for the gradient of every parameter, used or not; and a
            # batch may hold structures without any targets.
            loss = loss + 0.0 * sum(p.sum() for p in parameters)
        for optimizer in run.optimizers:
            optimizer.zero_grad()
        loss.backward()
        max_norm = self.hypers["grad_clip_norm"] or math.inf
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm).item()
        if self.hypers["grad_clip_value"] is not None:
            torch.nn.utils.clip_grad_value_(parameters, self.hypers["grad_clip_value"])
        if math.isfinite(norm):
            for group in groups:
                group["lr"] = rate
            for optimizer in run.optimizers:
                optimizer.step()
        return norm

    def _validate(self, run: Run, batches: Batches, epoch: int) -> dict[str, float]:
        """Loss and errors of all batches, whose number may differ among processes."""
        errors = Errors(run.model.scaler, self.hypers)
        targets = run.model.dataset_info.targets.values()
        with torch.set_grad_enabled(any(target.gradients for target in targets)):
            for batch in batches.epoch(epoch):
                # not `run.network`, which would wait for the other processes
                errors.add(run.objective(run.model, batch, is_training=False))
        summary = errors.summary(run.process.device, run.process.distributed)
        if not math.isfinite(summary.get("loss", 0.0)):
            raise RuntimeError(
                f"validation failed in epoch {epoch}: losses of the batches (process "
                f"{run.process.rank}) {errors.losses}. Check the validation structures"
            )
        return summary

    def _end_epoch(
        self, run: Run, epoch: int, metrics: dict[str, float], checkpoint_dir: str
    ) -> None:
        """Keep the state of training and the best model; save a checkpoint if due."""
        self.epoch = epoch
        self.optimizer_state_dict = [o.state_dict() for o in run.optimizers]
        metric: float = -epoch  # without validation, the latest model is the best one
        if metrics:
            metric = get_selected_metric(metrics, self.hypers["best_model_metric"])
        if metric < self.best_metric:
            self.best_metric = metric
            self.best_epoch = epoch
            self.best_model_state_dict = copy.deepcopy(
                run.model.get_checkpoint()["model_state_dict"]
            )
        if epoch % self.hypers["checkpoint_interval"] == 0 and run.process.rank == 0:
            path = Path(checkpoint_dir) / f"model_{epoch}.ckpt"
            self.save_checkpoint(run.model, path)

    def save_checkpoint(self, model: ModelInterface, path: str | Path) -> None:
        checkpoint = model.get_checkpoint()
        checkpoint["trainer_ckpt_version"] = self.__checkpoint_version__
        checkpoint["train_hypers"] = self.hypers
        checkpoint["epoch"] = self.epoch
        checkpoint["seed"] = self.seed
        checkpoint["optimizer_state_dict"] = self.optimizer_state_dict
        checkpoint["best_epoch"] = self.best_epoch
        checkpoint["best_metric"] = self.best_metric
        if self.best_model_state_dict is not None:  # else it is the current model
            checkpoint["best_model_state_dict"] = self.best_model_state_dict
        torch.save(checkpoint, check_file_extension(path, ".ckpt"))

    @classmethod
    def load_checkpoint(
        cls,
        checkpoint: dict[str, Any],
        hypers: TrainerHypers,
        context: Literal["restart", "finetune"],
    ) -> "Trainer":
        trainer = cls(hypers)
        if context == "restart":
            trainer.epoch = checkpoint["epoch"]
            trainer.seed = checkpoint["seed"]
            trainer.optimizer_state_dict = checkpoint["optimizer_state_dict"]
            trainer.best_epoch = checkpoint["best_epoch"]
            trainer.best_metric = checkpoint["best_metric"]
            trainer.best_model_state_dict = checkpoint["best_model_state_dict"]
        return trainer

    @classmethod
    def upgrade_checkpoint(cls, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return checkpoints.upgrade(
            checkpoint, "trainer_ckpt_version", cls.__checkpoint_version__
        )


def _metric_logger(model: ModelInterface, metrics: list[dict[str, float]]) -> MetricLogger:
    """Logger of the errors of training and validation, in meV where it applies."""
    names = ["training", "validation"]
    return MetricLogger(ROOT_LOGGER, model.dataset_info, metrics, names)


def _copy_head(model: torch.nn.Module, source: str, target: str) -> None:
    """Start the head of target ``target`` from the weights of that of ``source``."""
    parameters = dict(model.named_parameters())
    names = [name for name in parameters if f".{source}." in name]
    new_names = [name.replace(f".{source}.", f".{target}.") for name in names]
    if not names or not all(name in parameters for name in new_names):
        raise ValueError(f"no head for '{target}' to inherit the weights of '{source}'")
    for name, new_name in zip(names, new_names):
        parameters[new_name].data.copy_(parameters[name].data)
