"""``mtt-lorem info --check``: the comparison with torch-pme."""

import re

import ase.build
import pytest
import torch
from helpers.coulomb_cases import random_system, rotation
from metatomic.torch import ModelMetadata
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info

from metatrain_lorem.cli import main
from metatrain_lorem.commands import check
from metatrain_lorem.coulomb import CoulombSolver
from metatrain_lorem.model import LOREM


def charged_system(pbc, cell="skewed"):
    system = random_system(cell, pbc=pbc)
    matrix = rotation(3)
    return check.System(
        system.positions @ matrix.T, system.charges, system.cell @ matrix.T, system.pbc
    )


@pytest.mark.parametrize(
    "pbc", [(True, True, True), (True, False, True), (False, True, True), (False,) * 3]
)
@pytest.mark.parametrize("cell", ["skewed", "left-handed"])
def test_agreement(pbc, cell):
    """Of charged systems; also the stress of slabs that no axis is normal to."""
    system = charged_system(pbc, cell)
    solver = CoulombSolver(5.0, 0.7, accuracy=1e-11)
    sums = check.sums_of_solver(solver, system)
    expected, _ = check.sums_of_torchpme(system)
    for name, values in sums._asdict().items():
        torch.testing.assert_close(
            values, getattr(expected, name), rtol=1e-8, atol=1e-8, msg=name
        )


def test_errors_are_seen():
    system = charged_system((True, True, True))
    expected, _ = check.sums_of_torchpme(system)
    for accuracy in (1e-2, 1e-4, 1e-6):
        sums = check.sums_of_solver(CoulombSolver(5.0, 0.7, accuracy), system)
        error = check.rms(sums.forces - expected.forces)
        assert 1e-3 * accuracy < error < 10 * accuracy


def test_too_large(monkeypatch):
    monkeypatch.setattr(check, "MEMORY", 1000)
    for pbc in [(True,) * 3, (True, True, False), (False,) * 3]:
        with pytest.raises(ValueError, match="GiB for 12 atoms: check a smaller structure"):
            check.sums_of_torchpme(charged_system(pbc))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Exported model with a smearing at which it neglects little."""
    torch.manual_seed(0)
    hypers = get_default_hypers("metatrain_lorem")["model"]
    hypers = {**hypers, "max_degree": 1, "num_features": 4, "num_radial": 4}
    hypers["long_range"] = {**hypers["long_range"], "max_degree": 1, "smearing": 0.7}
    info = DatasetInfo(
        length_unit="Angstrom",
        atomic_types=[11, 17],
        targets={"energy": get_energy_target_info("energy", {"unit": "eV"})},
    )
    path = tmp_path_factory.mktemp("model") / "model.pt"
    LOREM(hypers, info).to(torch.float64).export(ModelMetadata()).save(str(path))
    return path


@pytest.mark.parametrize(
    ("pbc", "method", "last"),
    [
        (True, "Ewald sum", "measured errors"),
        ([True, True, False], "Ewald sum", "virial"),
        (False, "all pairs", "forces"),
    ],
)
def test_command(pbc, method, last, model, tmp_path, capsys):
    crystal = ase.build.bulk("NaCl", "rocksalt", 5.6, cubic=True)
    crystal.rattle(0.2, seed=0)
    crystal.pbc = pbc
    crystal.write(tmp_path / "crystal.xyz")
    main(["info", str(model), str(tmp_path / "crystal.xyz"), "--check"])
    output = capsys.readouterr().out
    assert output.startswith("structure         8 atoms")
    assert f"torch-pme in float64: {method}" in output
    assert "charges           5 columns" in output
    assert output.splitlines()[-1].startswith(last)
    pairs = re.findall(r"([-\d.e]+), (?:RMS )?difference ([\d.e-]+)", output)
    assert len(pairs) == (2 if pbc is False else 3)
    for value, difference in pairs:
        assert abs(float(value)) > 1e-6
        assert abs(float(difference)) < 1e-5 * abs(float(value))
