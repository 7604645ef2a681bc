"""A training that is killed again and again, in processes of its own.

``python killed_training.py FOLDER KILLS``: trains without interruption, then once more,
killed (SIGKILL) after random times and restarted from the newest checkpoint each time.
Prints the number of kills and whether the weights are the same, bit for bit.

No process that forks has computed anything: threads of torch do not survive a fork.
"""

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch


sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.tiny_runs import data, go_on, run, tiny_trainer

from metatrain_lorem.training import saving


def train(folder: Path, num_epochs: int) -> None:
    """From the newest checkpoint, as ``--restart auto`` takes it, if there is one."""
    torch.set_num_threads(1)
    saving.INTERVAL = 0.0  # after each step, so that many kills hit a file being written
    training, validation = data(*range(5)), data(10, 11)
    options = {"num_epochs": num_epochs, "checkpoint_interval": 3}
    torch.manual_seed(5)
    newest = sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    if newest:
        hypers = tiny_trainer(**options).hypers
        model, _ = go_on(newest[-1], training, validation, folder, hypers=hypers)
    else:
        model, _ = run(training, validation, folder, **options)
    torch.save(dict(model.named_parameters()), folder / "weights")


def in_child(action: Callable[[], None]) -> int:
    """Process that does something and ends."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            action()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return process


def wait(process: int, seconds: float | None = None) -> int | None:
    """Its exit status, or ``None`` if it still runs after some time."""
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def main(folder: Path, num_kills: int) -> None:
    num_epochs = 3 * (num_kills + 2)
    names = [folder / "whole", folder / "killed"]
    for name in names:
        name.mkdir()
    start = time.monotonic()
    assert wait(in_child(lambda: train(names[0], num_epochs))) == 0
    duration = time.monotonic() - start
    rng, kills = random.Random(num_kills), 0
    while kills < num_kills:
        process = in_child(lambda: train(names[1], num_epochs))
        # Before the first step, between two of them, while a file is written
        status = wait(process, rng.uniform(0.0, 1.2 * duration / num_kills))
        if status is not None:
            assert status == 0
            break
        os.kill(process, signal.SIGKILL)
        assert wait(process) == -signal.SIGKILL
        kills += 1
    else:
        assert wait(in_child(lambda: train(names[1], num_epochs))) == 0
    expected, result = (torch.load(name / "weights") for name in names)
    same = all(torch.equal(value, result[key]) for key, value in expected.items())
    print(f"{kills} kills, {'same' if same else 'other'} weights")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
