"""Trains the variants of a system, two at a time, and tells how long it will take."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from systems import VARIANTS, folder_name


INTERVAL = 10.0  # seconds between two looks at the trainings
MODEL = "model.pt"
SO_FAR = "so_far.pt"


class Run(NamedTuple):
    """One training in a folder of its own."""

    variant: str
    folder: Path
    command: list[str]


def prepare_runs(
    folder: Path, options: Path, data: dict[str, Path], overrides: list[str]
) -> list[Run]:
    """One run for each variant, not yet started.

    :param folder: of the system; each variant gets a folder inside
    :param data: files of ``train``, ``val`` and ``test``
    :param overrides: options of all variants, like ``architecture.training.num_epochs=2``
    """
    sections = {"training_set": "train", "validation_set": "val", "test_set": "test"}
    shared = [
        f"{section}.systems.read_from={data[part].resolve()}"
        for section, part in sections.items()
    ]
    runs = []
    for variant, own in VARIANTS.items():
        place = folder / folder_name(variant)
        place.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "metatrain", "train", str(options.resolve())]
        for override in [*own, *overrides, *shared]:
            command += ["-r", override]
        runs.append(Run(variant, place, command))
    return runs


def train(runs: list[Run], num_epochs: int, processes: int) -> None:
    """Train what is not trained; what was interrupted goes on from its last checkpoint.

    :raises RuntimeError: if a training failed, with the end of its log
    """
    waiting = [run for run in runs if not (run.folder / MODEL).exists()]
    active: dict[str, tuple[Run, subprocess.Popen]] = {}
    begin, first = time.monotonic(), {run.variant: epochs_done(run) for run in waiting}
    told = begin
    try:
        while waiting or active:
            while waiting and len(active) < processes:
                run = waiting.pop(0)
                active[run.variant] = (run, _start(run))
            time.sleep(0.5)
            for variant, (run, process) in list(active.items()):
                if process.poll() is not None:
                    del active[variant]
                    _check(run, process.returncode)
            if time.monotonic() - told > INTERVAL:
                told = time.monotonic()
                _tell(runs, first, num_epochs, told - begin)
    finally:
        for _, process in active.values():
            process.terminate()  # saves what was learned
            process.wait()


def model_so_far(run: Run) -> Path:
    """The final model, or the best one up to the last checkpoint.

    :raises FileNotFoundError: if there is no checkpoint yet
    """
    if (run.folder / MODEL).exists():
        return run.folder / MODEL
    checkpoints = list(run.folder.glob("outputs/*/*/*.ckpt"))
    if not checkpoints:
        raise FileNotFoundError(f"'{run.variant}' has no checkpoint yet in {run.folder}")
    latest = max(checkpoints, key=lambda path: path.stat().st_mtime)
    command = [sys.executable, "-m", "metatrain", "export", str(latest.resolve())]
    subprocess.run([*command, "-o", SO_FAR], cwd=run.folder, check=True)
    return run.folder / SO_FAR


def _start(run: Run) -> subprocess.Popen:
    # A look for earlier checkpoints finds none at first, and is then ignored
    command = [*run.command, "--restart", "auto"]
    with (run.folder / "train.log").open("a") as log:
        return subprocess.Popen(
            command,
            cwd=run.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def _check(run: Run, returncode: int) -> None:
    if returncode == 0 and (run.folder / MODEL).exists():
        print(f"  {run.variant}: done", flush=True)
        return
    lines = (run.folder / "train.log").read_text().splitlines()
    raise RuntimeError(
        f"'{run.variant}' failed in {run.folder}:\n" + "\n".join(lines[-15:])
    )


def _tell(runs: list[Run], first: dict[str, int], total: int, seconds: float) -> None:
    """Epochs of all runs, and the time left at the speed so far."""
    done = {run.variant: epochs_done(run) for run in runs}
    for run in runs:
        if (run.folder / MODEL).exists():
            done[run.variant] = total
    gained = sum(done[variant] - start for variant, start in first.items())
    left = sum(total - epochs for epochs in done.values())
    minutes = f"{left / gained * seconds / 60:.0f} min left" if gained else "just begun"
    epochs = ", ".join(f"{variant} {epochs}" for variant, epochs in done.items())
    print(f"  epochs of {total}: {epochs}; {minutes}", flush=True)


def epochs_done(run: Run) -> int:
    curve = learning_curve(run.folder)
    return int(curve["epoch"][-1]) + 1 if curve["epoch"] else 0


def learning_curve(folder: Path) -> dict[str, list[float]]:
    """Validation errors of all parts of a run, in meV/atom and meV/A."""
    columns = {
        "epoch": "Epoch",
        "energy": "validation energy RMSE (per atom)",
        "forces": "validation forces RMSE",
    }
    points: dict[int, list[float]] = {}
    for path in sorted(folder.glob("outputs/*/*/train.csv")):
        with path.open(newline="") as file:
            rows = csv.reader(file)
            header = next(rows, None)
            units = next(rows, None)
            if header is None or units is None:
                continue
            places = [header.index(name) for name in columns.values()]
            factors = [1000.0 if units[i].startswith("eV") else 1.0 for i in places]
            for row in rows:
                if len(row) == len(header):
                    values = [float(row[i]) * f for i, f in zip(places, factors)]
                    points[int(values[0])] = values
    ordered = [points[epoch] for epoch in sorted(points)]
    return {name: [point[i] for point in ordered] for i, name in enumerate(columns)}
