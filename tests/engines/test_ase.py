"""Atoms that are far away give the same results, also in float32."""

import ase
import numpy as np
import pytest
import torch
from ase.calculators.calculator import PropertyNotImplementedError
from helpers.lorem_models import fit, make_model
from helpers.systems import Structure, molecule, skewed_crystal, slab
from metatomic.torch import AtomisticModel, ModelOutput
from metatomic_ase import MetatomicCalculator

from metatrain_lorem.engines.ase import WrappingCalculator, wrapped


STRUCTURES = {"crystal": skewed_crystal(), "slab": slab(), "molecule": molecule()}


@pytest.fixture(scope="module")
def models() -> dict[torch.dtype, AtomisticModel]:
    return {
        dtype: fit(make_model(), atomic_baseline={"energy": 0.0}).to(dtype).export()
        for dtype in (torch.float32, torch.float64)
    }


@pytest.fixture(params=STRUCTURES)
def atoms(request) -> ase.Atoms:
    return to_ase(STRUCTURES[request.param])


def to_ase(structure: Structure) -> ase.Atoms:
    return ase.Atoms(
        structure.species.numpy(),
        structure.positions.numpy(),
        cell=structure.cell.numpy(),
        pbc=structure.pbc.numpy(),
    )


def moved(atoms: ase.Atoms, number: int = 100) -> ase.Atoms:
    """Each atom by as many lattice vectors; all atoms together if that is open."""
    result = atoms.copy()
    generator = np.random.RandomState(0)
    signs = generator.choice([-number, number], size=(len(atoms), 3))
    result.positions += signs @ result.cell[:]
    periodic = result.cell[result.pbc]
    shift = np.full(3, 5.0 * number)
    result.positions += shift - shift @ np.linalg.pinv(periodic) @ periodic
    return result


def results(calculator: MetatomicCalculator, atoms: ase.Atoms) -> tuple[float, np.ndarray]:
    atoms = atoms.copy()
    atoms.calc = calculator
    return atoms.get_potential_energy(), atoms.get_forces()


def test_same_results(models, atoms):
    """In float64 nothing is gained, and nothing changes."""
    model = models[torch.float64]
    plain = results(MetatomicCalculator(model, do_gradients_with_energy=False), atoms)
    calculator = WrappingCalculator(model, do_gradients_with_energy=False)
    for frame in (atoms, moved(atoms)):
        energy, forces = results(calculator, frame)
        assert energy == pytest.approx(plain[0], rel=1e-9, abs=1e-9)
        np.testing.assert_allclose(forces, plain[1], rtol=0, atol=1e-7)


def test_far_away_in_float32(models, atoms):
    """100 cells away, errors are those of the cell at the origin, wrapped or not."""
    expected = results(
        MetatomicCalculator(models[torch.float64], do_gradients_with_energy=False), atoms
    )
    errors = {}
    for kind in (MetatomicCalculator, WrappingCalculator):
        calculator = kind(models[torch.float32], do_gradients_with_energy=False)
        for place, frame in (("near", atoms), ("far", moved(atoms))):
            difference = results(calculator, frame)[1] - expected[1]
            errors[kind, place] = np.abs(difference).max()
    scale = np.abs(expected[1]).max()
    for error in errors.values():
        assert error < 1e-4 * scale


def test_stress(models):
    model, atoms = models[torch.float64], to_ase(skewed_crystal())
    expected = atoms.copy()
    expected.calc = MetatomicCalculator(model)
    frame = moved(atoms)
    frame.calc = WrappingCalculator(model)
    np.testing.assert_allclose(frame.get_stress(), expected.get_stress(), rtol=0, atol=1e-7)


def test_other_ways_to_run(models):
    calculator = WrappingCalculator(models[torch.float64])
    frames = [to_ase(structure) for structure in STRUCTURES.values()]
    expected = [results(calculator, frame)[0] for frame in frames[:1]]
    energies = calculator.compute_energy([moved(frame) for frame in frames])["energy"]
    assert float(energies[0]) == pytest.approx(expected[0], rel=1e-9)
    assert float(calculator.compute_energy(frames[0])["energy"]) == pytest.approx(
        expected[0], rel=1e-9
    )
    outputs = {"feature": ModelOutput(sample_kind="atom")}
    features = [
        calculator.run_model(frame, outputs)["feature"].block().values
        for frame in (frames[0], moved(frames[0]))
    ]
    torch.testing.assert_close(features[0], features[1], rtol=1e-9, atol=1e-9)


def test_nothing_runs_twice(models):
    """ASE asks for energy and forces of the same atoms one after the other."""
    calculator = WrappingCalculator(models[torch.float64])
    frame = moved(to_ase(skewed_crystal()))
    frame.calc = calculator
    assert frame.get_potential_energy() == frame.get_potential_energy(True)
    first = calculator.results
    frame.get_forces()
    frame.get_stress()
    assert calculator.results is first
    frame.positions[0] += 0.1
    frame.get_forces()
    assert calculator.results is not first


def test_wrapped(atoms):
    """Close to the origin, in the same cell, with the same distances."""
    frame = moved(atoms)
    frame.info["key"] = "value"
    result = wrapped(frame)
    assert result.info == frame.info
    assert np.array_equal(result.cell, atoms.cell)
    assert np.abs(result.positions).max() < 10
    np.testing.assert_allclose(
        result.get_all_distances(mic=True), atoms.get_all_distances(mic=True), atol=1e-9
    )
    assert len(wrapped(ase.Atoms())) == 0


def test_unknown_elements(models):
    calculator = WrappingCalculator(models[torch.float64])
    frame = ase.Atoms("CsOKH", np.diag([1.0, 2.0, 3.0, 4.0])[:, :3], calculator=calculator)
    message = "the model does not know K, Cs; it was trained on H, O, F, Na, Cl"
    with pytest.raises(ValueError, match=message):
        frame.get_potential_energy()


# --- what cannot be treated -------------------------------------------------------------


def spoiled(kind: str) -> ase.Atoms:
    atoms = to_ase(skewed_crystal())
    if kind == "nan":
        atoms.positions[2, 1] = np.nan
    if kind == "far":
        atoms = to_ase(molecule())
        atoms.positions[1, 0] = 1e30
    if kind == "far along two axes":
        atoms = to_ase(molecule())
        atoms.positions[1, :2] = 6000.0
    if kind == "nan cell":
        atoms.cell[1, 1] = np.nan
    if kind == "collapsed":
        atoms.set_cell(0.05 * atoms.cell, scale_atoms=True)
    if kind == "no cell":
        atoms.cell = None
    if kind == "wire":
        atoms.pbc = [True, False, False]
    if kind == "same place":
        atoms.positions[2] = atoms.positions[0] + 1e-4
    return ase.Atoms() if kind == "nothing" else atoms


REFUSED = {
    "nan": "y of atom 2 .from 0. is nan",
    "far": "atom 1 .from 0. is 1e.30 away",
    "far along two axes": "too wide and too thin",
    "nan cell": "y of lattice vector 1 .from 0. is nan",
    "collapsed": "smallest distance between lattice planes is 0.1",
    "no cell": "smallest distance between lattice planes is 0 Angstrom",
    "wire": "periodic in one direction only",
    "same place": "atoms 0 and 2 .from 0. are 0.00017 Angstrom apart: remove",
    "nothing": "there are no atoms",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(models, kind):
    """Before the neighbor list, which kills Python for some of these."""
    calculator = WrappingCalculator(models[torch.float64])
    atoms = spoiled(kind)
    atoms.calc = calculator
    with pytest.raises(ValueError, match=REFUSED[kind]):
        atoms.get_potential_energy()
    outputs = {"feature": ModelOutput(sample_kind="atom")}
    both = [to_ase(molecule()), atoms]
    for function in (calculator.compute_energy, lambda x: calculator.run_model(x, outputs)):
        with pytest.raises(ValueError, match="structure 1 .from 0.: .*" + REFUSED[kind]):
            function(both)


def test_close_atoms_are_told_once(models):
    atoms = to_ase(molecule())
    atoms.positions[2] = atoms.positions[0] + 0.1
    atoms.calc = WrappingCalculator(models[torch.float64])
    with pytest.warns(UserWarning, match="atoms 0 and 2 .* apart, closer than any bond"):
        atoms.get_potential_energy()
    atoms.positions[2] += 0.01
    atoms.get_potential_energy()


def test_other_atoms_of_the_same_formula(models):
    """Checked again, unlike those that moved by a step."""
    calculator = WrappingCalculator(models[torch.float64])
    good, bad = to_ase(molecule()), to_ase(molecule())
    bad.positions[2] = bad.positions[0]
    good.calc = bad.calc = calculator
    good.get_potential_energy()
    with pytest.raises(ValueError, match="atoms 0 and 2 .from 0. are 0 Angstrom apart"):
        bad.get_potential_energy()


@pytest.mark.parametrize("name", ["molecule", "slab"])
def test_stress_of_open_systems(models, name):
    atoms = to_ase(STRUCTURES[name])
    atoms.calc = WrappingCalculator(models[torch.float64])
    with pytest.raises(PropertyNotImplementedError, match="periodic in three directions"):
        atoms.get_stress()


def test_damaged_weights():
    model = fit(make_model()).export()
    for parameter in model.parameters():
        parameter.data[:] = float("nan")
    atoms = to_ase(molecule())
    atoms.calc = WrappingCalculator(model, do_gradients_with_energy=False)
    with pytest.raises(ValueError, match="predicts energy that are not finite"):
        atoms.get_potential_energy()


def test_message_of_the_model(tmp_path):
    """A file is TorchScript, whose tracebacks hide the message."""
    # Gaussian charges of a given width need k-vectors after the volume
    model = fit(make_model(long_range={"smearing": 1.0}))
    model.export().save(str(tmp_path / "model.pt"))
    atoms = to_ase(molecule())
    atoms.cell, atoms.pbc = np.eye(3) * 1000.0, True
    atoms.calc = WrappingCalculator(str(tmp_path / "model.pt"))
    with pytest.raises(ValueError, match="^system 0 .3 atoms, .* GiB for its long-range"):
        atoms.get_potential_energy()
