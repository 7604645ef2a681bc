"""No operation mixes two devices, and what follows the plan never waits for one.

Checked on a pretended device, for machines without a GPU.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from helpers.device_checks import check_same_numbers, check_waits
from helpers.energy_model import CUTOFF, EnergyModel
from helpers.systems import STRUCTURES, mixed
from torch.utils import backend_registration

from metatrain_lorem.network.reference import jax_solver


pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no devices made in Python",
)

BATCHES = {name: [STRUCTURES[name]()] for name in ("crystal", "slab", "single_atom")}
BATCHES["mixed"] = mixed()


def reference_method() -> EnergyModel:
    return EnergyModel(solver=jax_solver(CUTOFF, CUTOFF / 4))


def messages() -> EnergyModel:
    return EnergyModel(num_message_passing=1)


def short_range() -> EnergyModel:
    return EnergyModel(long_range=False)


def mesh() -> EnergyModel:
    model = EnergyModel()
    model.network.long_range.coulomb.planner.method = "mesh"
    return model


# A batch of all kinds takes all branches but those of batches without any periodic
# system, without any pairs, or of slabs only; messages are added to all other parts.
CASES = [(messages, "mixed"), (reference_method, "mixed"), (mesh, "mixed")]
CASES += [(short_range, "slab"), (EnergyModel, "single_atom"), (EnergyModel, "slab")]
CASES += [(mesh, "crystal")]
all_cases = pytest.mark.parametrize(
    ("make_model", "batch"), CASES, ids=lambda value: getattr(value, "__name__", value)
)


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    """A process that knows one device more."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        yield executor


@all_cases
def test_same_numbers(process, make_model, batch):
    process.submit(check_same_numbers, make_model(), BATCHES[batch]).result()


@all_cases
def test_waits(process, make_model, batch):
    process.submit(check_waits, make_model(), BATCHES[batch]).result()
