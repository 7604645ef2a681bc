"""Training with two processes, in a module that they can import."""

import logging
from pathlib import Path
from typing import Any

import torch
from helpers.systems import crystal, rattled
from helpers.training_tools import (
    energy_info,
    make_dataset,
    small_model,
    target_info,
    train,
    training_hypers,
)
from metatrain.utils.data import Dataset
from torch.utils.data import Subset

import metatrain_lorem.trainer
from metatrain_lorem.trainer import Trainer
from metatrain_lorem.training import process


ENERGY = {"energy": energy_info(gradients=("positions", "strain"))}
DIPOLE = {"mtt::dipole": target_info("mtt::dipole", {"cartesian": {"rank": 1}}, "system")}
# Means of energies and forces are the same for one and for two processes if all
# structures are of the same size.
STRUCTURES = [rattled(crystal(), seed) for seed in range(11)]


def cases() -> dict[str, tuple[list[Dataset], dict[str, Any]]]:
    """Data sets and hyper-parameters of the model."""
    both = {**ENERGY, **DIPOLE}
    return {
        "both": ([make_dataset(STRUCTURES, both)], {"num_message_passing": 1}),
        "in turn": (
            [make_dataset(STRUCTURES, ENERGY), make_dataset(STRUCTURES[:10], DIPOLE)],
            {"long_range": {"enable": False}, "num_message_passing": 2},
        ),
    }


class Recorder(torch.optim.SGD):
    """Keeps the gradients of each step."""

    def __init__(self, model: torch.nn.Module, hypers: Any) -> None:
        super().__init__(model.parameters(), lr=hypers["learning_rate"])
        self.gradients: list[torch.Tensor] = []

    def step(self, *arguments: Any) -> None:
        grads = [
            torch.zeros_like(p) if p.grad is None else p.grad
            for p in self.param_groups[0]["params"]
        ]
        self.gradients.append(torch.cat([g.flatten() for g in grads]))
        super().step(*arguments)


def run(name: str, folder: Path, batch_size: int, distributed: bool, rank: int) -> Any:
    """Train with one of the cases."""
    recorders: list[Recorder] = []

    def build(model: torch.nn.Module, hypers: Any) -> list[Recorder]:
        recorders.append(Recorder(model, hypers))
        return list(recorders)

    metatrain_lorem.trainer.build_optimizers = build
    datasets, model_hypers = cases()[name]
    targets = {**ENERGY, **DIPOLE}
    model = small_model(targets, [11, 17], **model_hypers)
    model.unused = torch.nn.Parameter(torch.ones(2, 3))
    hypers = training_hypers(
        targets,
        num_epochs=2,
        batch_size=batch_size,
        distributed=distributed,
        scale_targets=True,
        checkpoint_interval=1,
        learning_rate=1e-3,
    )
    torch.manual_seed(3 + rank)
    trainer = Trainer(hypers)
    training = [Subset(d, range(8)) for d in datasets]
    # One structure of the first data set: one of the processes has none of it.
    validation = [Subset(d, range(7 + i, 8 + 2 * i)) for i, d in enumerate(datasets)]
    train(model, trainer, training, validation, folder, dtype=torch.float64)
    return {
        "gradients": torch.stack(recorders[0].gradients),
        "parameters": torch.cat([p.detach().flatten() for p in model.parameters()]),
        "best": (trainer.best_epoch, trainer.best_metric),
        "seed": trainer.seed,
    }


def work_as_second(_: int, folder: str) -> None:
    """The second of two processes."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    work(1, folder)


def work(rank: int, folder: str) -> None:
    """What each of two processes does: train each of the cases."""
    results = {}
    for name in cases():
        store = f"file://{folder}/{name.replace(' ', '_')}"

        def start(port: int, store: str = store) -> tuple[torch.device, int, int]:
            torch.distributed.init_process_group(
                "gloo", init_method=store, rank=rank, world_size=2
            )
            return torch.device("cpu"), 2, rank

        process.initialize_slurm_nccl_process_group = start
        (Path(folder) / f"{rank}-{name}").mkdir()
        results[name] = run(name, Path(folder) / f"{rank}-{name}", 2, True, rank)
        assert not torch.distributed.is_initialized()
    torch.save(results, f"{folder}/results-{rank}.pt")
