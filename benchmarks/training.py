"""Time per epoch of training: LOREM, lorem-jax and PET on the same data.

    python benchmarks/training.py [--jax-python jax-env/bin/python] [--data FILE]

Energies and forces are in the loss, models have their default size. A code trains for two
and for more epochs; the difference does not contain reading, fitting baselines,
preparation of structures or compilation. For LOREM, the share of loading is measured, too.
"""

import argparse
import copy
import json
import logging
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measure import write_results
from metatrain.utils.architectures import get_default_hypers, import_architecture
from metatrain.utils.data import DatasetInfo, get_atomic_types, get_dataset
from metatrain.utils.hypers import init_with_defaults
from metatrain.utils.loss import LossSpecification


DIMERS = Path(__file__).parents[1] / "examples" / "data" / "dimers_train.xyz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=str(DIMERS), help="extended XYZ file")
    parser.add_argument("--energy-key", default="energy")
    parser.add_argument("--jax-python", help="interpreter that can import lorem")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--epochs", type=int, default=4, help="that are counted")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)

    rows: list[dict[str, Any]] = []
    for batch_size in arguments.batch_sizes:
        row: dict[str, Any] = {"batch size": batch_size, "data": Path(arguments.data).name}
        for name in ("metatrain_lorem", "pet"):
            row[f"{name} s"] = seconds_per_epoch(name, batch_size, arguments)
        if arguments.jax_python:
            row["lorem-jax s"] = jax_seconds_per_epoch(batch_size, arguments)
        rows.append(row)
        print(json.dumps(row), flush=True)
    write_results(f"training_{Path(arguments.data).stem}", "cpu", rows)


def seconds_per_epoch(name: str, batch_size: int, arguments: argparse.Namespace) -> float:
    """Of metatrain's trainer of an architecture, on one device."""
    short = training_time(name, batch_size, 2, arguments)
    return (training_time(name, batch_size, 2 + arguments.epochs, arguments) - short) / (
        arguments.epochs
    )


def training_time(
    name: str, batch_size: int, num_epochs: int, arguments: argparse.Namespace
) -> float:
    dataset, targets, _ = get_dataset(
        {
            "systems": {"read_from": arguments.data, "reader": "ase"},
            "targets": {"energy": energy_target(arguments)},
        }
    )
    info = DatasetInfo("Angstrom", get_atomic_types(dataset), targets)
    architecture = import_architecture(name)
    hypers = copy.deepcopy(get_default_hypers(name))
    hypers["training"] |= {
        "num_epochs": num_epochs,
        "batch_size": batch_size,
        "loss": {"energy": loss_of_energy_and_forces()},
        "num_workers": 0,
    }
    torch.manual_seed(0)
    model = architecture.__model__(hypers["model"], info)
    trainer = architecture.__trainer__(hypers["training"])
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        trainer.train(
            model=model,
            dtype=torch.float32,
            devices=[torch.device("cpu")],
            train_datasets=[dataset],
            val_datasets=[torch.utils.data.Subset(dataset, range(1))],
            checkpoint_dir=folder,
        )
        return time.perf_counter() - start


def energy_target(arguments: argparse.Namespace) -> dict[str, Any]:
    source = {"read_from": arguments.data, "reader": "ase"}
    return {
        **source,
        "quantity": "energy",
        "key": arguments.energy_key,
        "unit": "eV",
        "type": "scalar",
        "sample_kind": "system",
        "num_subtargets": 1,
        "description": "",
        "forces": {**source, "key": "forces"},
        "stress": False,
        "virial": False,
    }


def loss_of_energy_and_forces() -> dict[str, Any]:
    energy = init_with_defaults(LossSpecification)
    return {**energy, "gradients": {"positions": init_with_defaults(LossSpecification)}}


def jax_seconds_per_epoch(batch_size: int, arguments: argparse.Namespace) -> float:
    script = Path(__file__).with_name("lorem_jax_training_time.py")
    command = [arguments.jax_python, str(script), arguments.data, str(batch_size)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.strip().splitlines()[-1])["s"]


if __name__ == "__main__":
    main()
