"""Terms of the loss without labels: told in one line, or refused if asked for."""

import copy

import ase.io
import numpy as np
import pytest
from ase import Atoms
from helpers.training_tools import energy_info, expanded_loss

from metatrain_lorem.training.not_learned import what_is_not_learned


ENERGY, FULL = energy_info(), energy_info(gradients=("positions", "strain"))
DEFAULT = {"type": "mse", "weight": 1.0, "reduction": "mean"}


def loss(**gradients):
    return {"energy": {**DEFAULT, "gradients": gradients}}


@pytest.fixture
def options(tmp_path):
    """As metatrain expands them, of a file in which frame 2 of 4 lacks forces."""
    frames = []
    for i in range(4):
        atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.7 + 0.1 * i]])
        atoms.info["total"] = -1.0 * i
        if i != 2:
            atoms.arrays["forces"] = np.zeros((2, 3))
        frames.append(atoms)
    source = str(tmp_path / "h2.xyz")
    ase.io.write(source, frames)
    labels = {
        key: {"read_from": source, "reader": None, "key": key}
        for key in ("forces", "stress")
    }
    target = {"read_from": source, "key": "total", "virial": False, **labels}
    return {"training_set": [{"targets": {"energy": target}}]}


def lacking(options, targets=None, terms=None):
    terms = {"positions": DEFAULT, "strain": DEFAULT} if terms is None else terms
    return what_is_not_learned(targets or {"energy": ENERGY}, loss(**terms), options)


def test_nothing_lacks(options):
    assert lacking(options, {"energy": FULL}) == []
    assert lacking(options, terms={}) == []
    assert lacking({}, terms={"positions": {**DEFAULT, "weight": 0.0}}) == []


def test_one_frame_without_forces(options):
    """metatrain drops the forces of all frames."""
    forces, stress = lacking(options)
    assert "forces of 'energy' (key 'forces', missing in 1 of 4 frames of" in forces
    assert "h2.xyz': 2 (from 0); all others are dropped with them)" in forces
    assert "stress of 'energy' (key 'stress', in no frame of" in stress


def change_key(target):
    target["forces"]["key"] = "froces"


def change_file(target):
    target["forces"]["read_from"] = "elsewhere.xyz"


def switch_off(target):
    target["forces"] = False


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_key, "forces of 'energy' .key 'froces', in no frame .*: is 'forces' meant"),
        (change_file, "forces of 'energy' .key 'forces' in 'elsewhere.xyz'"),
        (switch_off, "forces of 'energy'.* set `forces: off`"),
    ],
)
def test_asked_for_in_the_data(change, words, options):
    change(options["training_set"][0]["targets"]["energy"])
    with pytest.raises(ValueError, match="has a term for what the data lack: " + words):
        lacking(options, terms={"positions": DEFAULT})


@pytest.mark.parametrize(
    "change", [{"weight": 10.0}, {"type": "mae"}, {"reduction": "sum"}, {"delta": 0.5}]
)
@pytest.mark.parametrize("gradient", ["positions", "strain"])
def test_asked_for_in_the_loss(gradient, change, options):
    for known in (options, {}):
        with pytest.raises(ValueError, match="has a term for what the data lack"):
            lacking(known, terms={gradient: {**DEFAULT, **change}})


@pytest.mark.parametrize("kind", ["mse", "mae", "huber"])
def test_not_asked_for(kind):
    """What metatrain adds by itself is told, whatever the type of the loss."""
    terms = expanded_loss(kind, {"energy": FULL})
    lines = what_is_not_learned({"energy": ENERGY}, terms, {})
    assert lines == ["forces of 'energy'", "stress/virial of 'energy'"]


def test_options_of_a_restart_are_no_other(options):
    """The file that continues a run has all terms, which nobody wrote."""
    again = copy.deepcopy(options)
    assert lacking(again) == lacking(options)


def test_unreadable_labels(options, tmp_path):
    """Forces of a wrong shape are dropped as well."""
    source = options["training_set"][0]["targets"]["energy"]["read_from"]
    frames = ase.io.read(source, ":")
    for atoms in frames:
        atoms.arrays["forces"] = np.zeros((2, 2))
        atoms.calc = None
    ase.io.write(source, frames)
    forces, _ = lacking(options)
    assert "of a shape or value that cannot be read" in forces


def test_other_formats(options, tmp_path):
    target = options["training_set"][0]["targets"]["energy"]
    for source in ("missing.xyz", str(tmp_path)):
        for key in ("forces", "stress"):
            target[key]["read_from"] = source
        target["read_from"] = source
        assert lacking(options)[0] == f"forces of 'energy' (key 'forces' in '{source}')"
