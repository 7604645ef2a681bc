"""Signals that end a training: what was learned is saved first."""

import signal
import threading
from types import FrameType
from typing import Any

import torch


# Ctrl-C; `scancel`, SLURM's time limit and `kill`; a closed terminal; `sbatch --signal`
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


class Stopped(Exception):
    """A signal asked the training to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class StopRequests:
    """Takes note of signals instead of dying of them, while used as a context.

    The second signal of a kind acts at once. Signals that the surrounding program handles
    or ignores (``nohup``) are left to it.
    """

    def __init__(self) -> None:
        self.number = 0
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequests":
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread may handle signals
        for name in NAMES:
            number = getattr(signal, name, None)  # Windows lacks some
            if number is None:
                continue
            handler = signal.getsignal(number)
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                self.previous[number] = handler
                signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        # No message from here: the signal may have come in the middle of another one.
        self.number = number
        signal.signal(number, self.previous[number])

    def check(self, device: torch.device, is_distributed: bool) -> None:
        """Stop here if this process, or another one, was asked to.

        :param is_distributed: whether all processes call this at the same time
        :raises Stopped: in all processes alike
        """
        number = self.number
        if is_distributed:
            numbers = torch.tensor(number, device=device)
            torch.distributed.all_reduce(numbers, torch.distributed.ReduceOp.MAX)
            number = int(numbers)
        if number:
            raise Stopped(number)
