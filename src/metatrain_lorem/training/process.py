"""One or several processes that train together."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from metatrain.utils.distributed.slurm import (
    initialize_slurm_nccl_process_group,
    resolve_distributed,
)


class Process(NamedTuple):
    """This one of the ``world_size`` processes that train together."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
    distributed: bool = False

    def agree(self, value: Any) -> Any:
        """The value of the first process, in all of them."""
        if not self.distributed:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values)
        return values[0]


def start_process(devices: list[torch.device], hypers: Mapping[str, Any]) -> Process:
    """Join the other processes, if there are any.

    :param hypers: ``distributed`` and ``distributed_port``
    :raises ValueError: for several devices in one process
    """
    if not resolve_distributed(hypers.get("distributed")):
        return Process(devices[0])
    if len(devices) > 1:
        raise ValueError(
            "distributed training runs one process per GPU: set `device: cuda` "
            "instead of `multi-gpu`"
        )
    port = hypers["distributed_port"]
    device, world_size, rank = initialize_slurm_nccl_process_group(port)
    return Process(device, rank, world_size, distributed=True)
