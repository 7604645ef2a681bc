"""``mtt-lorem info`` and the estimates behind it."""

import ase.build
import ase.io
import pytest
import torch
from helpers.coulomb_cases import random_system
from metatomic.torch import ModelMetadata
from metatrain.composition import CompositionModel
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info

from metatrain_lorem.cli import main
from metatrain_lorem.coulomb import CoulombSolver
from metatrain_lorem.coulomb.estimate import estimate, plan_of_one
from metatrain_lorem.model import LOREM


ENERGY = get_energy_target_info("energy", {"unit": "eV"})


def exported_model(folder, enable=True):
    hypers = get_default_hypers("metatrain_lorem")["model"]
    hypers = {**hypers, "max_degree": 1, "num_features": 4, "num_radial": 4}
    hypers["long_range"] = {**hypers["long_range"], "max_degree": 1, "enable": enable}
    info = DatasetInfo(
        length_unit="Angstrom",
        atomic_types=[11, 17],
        targets={"energy": ENERGY},
    )
    path = folder / "model.pt"
    LOREM(hypers, info).export(ModelMetadata()).save(str(path))
    return path


def exported_baseline(folder):
    """A model of metatomic that is not LOREM."""
    info = DatasetInfo("Angstrom", [11, 17], {"energy": ENERGY})
    path = folder / "baseline.pt"
    CompositionModel.from_valid_targets(info, [11, 17]).export().save(str(path))
    return path


@pytest.mark.parametrize(
    ("repeats", "pbc", "directions", "expected"),
    [
        (1, True, "along a, b, c", "Ewald sum\n"),
        (16, True, "along a, b, c", "Ewald sum on a mesh"),
        (1, [True, False, True], "along a, c", "Ewald sum\n"),
        (1, False, "in no direction", "sum over all pairs, exact"),
    ],
)
def test_info(repeats, pbc, directions, expected, tmp_path, capsys):
    crystal = ase.build.bulk("NaCl", "rocksalt", 5.6, cubic=True) * repeats
    crystal.pbc = pbc
    crystal.write(tmp_path / "crystal.xyz")
    model = exported_model(tmp_path)
    main(["info", str(model), str(tmp_path / "crystal.xyz")])
    output = capsys.readouterr().out
    assert f"{len(crystal)} atoms, periodic {directions}\n" in output
    assert expected in output
    assert "5 charges per atom" in output
    assert ("real space" in output) == (pbc is not False)


def test_info_refuses(tmp_path, capsys):
    crystal = ase.build.bulk("NaCl", "rocksalt", 5.6)
    crystal.write(tmp_path / "crystal.xyz")
    model = exported_model(tmp_path, enable=False)
    main(["info", str(model), str(tmp_path / "crystal.xyz")])
    assert "none in this model" in capsys.readouterr().out
    crystal.pbc = [True, False, False]
    crystal.write(tmp_path / "wire.xyz")
    model = exported_model(tmp_path)
    (tmp_path / "no.model").touch()
    ase.io.write(tmp_path / "two.xyz", [crystal, crystal])
    baseline = exported_baseline(tmp_path)
    for arguments, message in [
        ((model, tmp_path / "wire.xyz"), "periodic in one direction only"),
        ((model, tmp_path / "missing.xyz"), "no structure file"),
        ((model, tmp_path / "two.xyz", "--index", ":"), "more than one frame"),
        ((baseline, tmp_path / "wire.xyz"), "is not a LOREM model"),
        ((model, model), "error"),
        ((tmp_path / "no.model", tmp_path / "wire.xyz"), "error"),
        ((tmp_path / "missing.pt", tmp_path / "wire.xyz"), "there is no model"),
    ]:
        with pytest.raises(SystemExit):
            main(["info", *map(str, arguments)])
        assert message in capsys.readouterr().err


def test_number_of_k_vectors():
    """The number in the sphere."""
    system = random_system("skewed", 200)
    scale = 3.0
    positions, cell = scale * system.positions, scale * system.cell
    solver = CoulombSolver(5.0, 1.25)
    plan = plan_of_one(solver, positions, cell, system.pbc, num_columns=1)
    result = estimate(solver, plan, num_columns=1, element_size=8)
    kvectors = solver.planner.kvectors
    (radius,) = kvectors.radii(plan.lattices)
    (n,) = kvectors.largest(plan.lattices)
    grid = torch.cartesian_prod(*[torch.arange(-i, i + 1) for i in n]).double()
    k = 2 * torch.pi * grid @ torch.linalg.inv(cell).T
    assert result.num_k == int((k.norm(dim=1) <= radius).sum() - 1) // 2
    assert result.reciprocal_error == 1e-6
    assert 1e-5 < result.real_space_error < 1e-2
    assert result.method == "ewald"


def test_info_names_what_is_wrong(tmp_path, capsys):
    model = str(exported_model(tmp_path))
    crystal = ase.build.bulk("NaCl", "rocksalt", 5.6)
    crystal.write(tmp_path / "crystal.xyz")
    crystal.positions[1, 2] = float("nan")
    crystal.write(tmp_path / "nan.xyz")
    (tmp_path / "some.text").write_text("no structure")
    for arguments, message in [
        (["crystal.xyz", "--index", "99"], "crystal.xyz' has no frame '99'"),
        (["nan.xyz"], "z of atom 1 (from 0) is nan"),
        (["some.text"], "ASE cannot read"),
        (["model.pt"], "ASE cannot read"),
        (["crystal.xyz", "--index", ":"], "':' is more than one frame"),
    ]:
        with pytest.raises(SystemExit) as end:
            main(["info", model, str(tmp_path / arguments[0]), *arguments[1:]])
        assert end.value.code == 1
        assert message in capsys.readouterr().err
