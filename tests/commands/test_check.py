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


def exported_model(folder):
    torch.manual_seed(0)
    hypers = get_default_hypers("metatrain_lorem")["model"]
    hypers = {**hypers, "max_degree": 1, "num_features": 4, "num_radial": 4}
    hypers["long_range"] = {**hypers["long_range"], "max_degree": 1, "smearing": 0.7}
    info = DatasetInfo(
        length_unit="Angstrom",
        atomic_types=[11, 17],
        targets={"energy": get_energy_target_info("energy", {"unit": "eV"})},
    )
    path = folder / "model.pt"
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
def test_command(pbc, method, last, tmp_path, capsys, monkeypatch):
    crystal = ase.build.bulk("NaCl", "rocksalt", 5.6, cubic=True)
    crystal.rattle(0.2, seed=0)
    crystal.pbc = pbc
    structure = str(tmp_path / "crystal.xyz")
    crystal.write(structure)
    model = str(exported_model(tmp_path))
    main(["info", model, structure])
    without = capsys.readouterr().out
    main(["info", model, structure, "--check"])
    output = capsys.readouterr().out
    assert output.startswith(without.rstrip())
    lines = output.splitlines()
    assert f"torch-pme in float64: {method}" in output
    assert "charges           5 columns" in output
    assert lines[-1].startswith(last)
    pairs = re.findall(r"([-\d.e]+), (?:RMS )?difference ([\d.e-]+)", output)
    assert len(pairs) == (2 if pbc is False else 3)
    for value, difference in pairs:
        assert abs(float(value)) > 1e-6
        assert abs(float(difference)) < 1e-5 * abs(float(value))

    monkeypatch.setattr(check, "MEMORY", 1000)
    with pytest.raises(SystemExit):
        main(["info", model, structure, "--check"])
    assert "GiB for 8 atoms: check a smaller structure" in capsys.readouterr().err
