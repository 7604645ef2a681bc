"""The same numbers as the lorem-jax that is installed here, or next to it.

Its interpreter is the running one if that has lorem-jax, or else the one that the
environment variable ``LOREM_JAX_PYTHON`` names, for instance after

    python -m venv lorem-jax
    lorem-jax/bin/pip install lorem-jax==0.2.0
    export LOREM_JAX_PYTHON=$PWD/lorem-jax/bin/python
"""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from helpers.parity_cases import CASES
from helpers.parity_tools import (
    REFERENCES,
    empty_model,
    load_references,
    worst_deviations,
)
from helpers.systems import make_graph, make_structure

from metatrain_lorem.lorem_jax.files import JaxModel, write_jax_model
from metatrain_lorem.lorem_jax.parameters import jax_parameters
from metatrain_lorem.lorem_jax.settings import hypers_from_settings, settings_from_hypers


LIVE_CASES = ["default", "messages-2"]
SEED = 1  # the stored references have 0


def interpreter() -> str | None:
    """A Python that has lorem-jax."""
    if importlib.util.find_spec("lorem") and importlib.util.find_spec("jax"):
        return sys.executable
    return os.environ.get("LOREM_JAX_PYTHON")


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(interpreter() is None, reason="no lorem-jax: see the file"),
]


def run(*arguments: object) -> str:
    """Run the interpreter of lorem-jax; return what it prints."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [str(interpreter()), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def live_predictions(tmp_path_factory):
    """What lorem-jax predicts with other parameters than those of the stored files."""
    folder = tmp_path_factory.mktemp("live")
    script = REFERENCES / "make_references.py"
    options = ["--output", folder, "--seed", SEED, "--parts", "predictions"]
    run(script, *options, "--cases", *LIVE_CASES)
    return load_references("predictions", folder)


@pytest.mark.parametrize("case", LIVE_CASES)
def test_live_predictions(case, live_predictions):
    worst, _ = worst_deviations(case, live_predictions, "reference", SEED)
    assert worst["relative energy"].max() < 1e-8
    tolerance = 1e-10 if "num_radial" in CASES[case] else 1e-7
    assert worst["force"].max() < tolerance
    assert worst["virial"].max() < 10 * tolerance


CALCULATE = """
import sys
from ase import Atoms
from lorem import LOREMCalculator

atoms = Atoms("OH2", [[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.1, -0.76, -0.47]])
atoms.calc = LOREMCalculator.from_checkpoint(sys.argv[1])
print(atoms.get_potential_energy())
"""


def test_lorem_jax_reads_our_models(tmp_path):
    """A model that has never been in lorem-jax, in its ASE calculator."""
    torch.manual_seed(SEED)
    model = empty_model(CASES["degree-2"], 1e-6).float()
    jax_model = JaxModel(
        settings=settings_from_hypers(hypers_from_settings(CASES["degree-2"])),
        baseline={1: -13.6, 8: -2041.25},
        parameters=jax_parameters(model.network, model.readout),
    )
    write_jax_model(tmp_path, jax_model)
    energy = float(run("-c", CALCULATE, tmp_path))

    positions = [[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.1, -0.76, -0.47]]
    graph = make_graph([make_structure([8, 1, 1], positions)], 4.0)
    expected = model.double()(graph).item() - 2 * 13.6 - 2041.25
    assert abs(energy - expected) < 1e-5
