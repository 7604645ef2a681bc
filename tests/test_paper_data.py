"""The conversion of published archives, on small files of the same formats."""

import gzip
import importlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import ase.io
import numpy as np
import pytest


FOLDER = Path(__file__).parents[1] / "examples" / "paper"
BASELINE = {"Na": -4417.0705, "Cl": -12516.8904, "C": -5.9724, "H": -2.6544}


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("archives", "prepare"):
        sys.modules.pop(name, None)
    return importlib.import_module("prepare")


def structures(number: int, symbols: list[str]) -> list[ase.Atoms]:
    """Random positions and forces without a net force."""
    random = np.random.default_rng(0)
    frames = []
    for _ in range(number):
        frame = ase.Atoms(symbols, 10 * random.random((len(symbols), 3)))
        forces = random.normal(size=(len(symbols), 3))
        frame.arrays["forces"] = forces - forces.mean(axis=0)
        total = sum(BASELINE[symbol] for symbol in symbols)
        frame.info["energy"] = total + random.normal(scale=0.1)
        frames.append(frame)
    return frames


def clusters(number: int) -> list[ase.Atoms]:
    return structures(number, ["Na", "Cl"] * 8)


def runner_text(frames: list[ase.Atoms], prepare: ModuleType) -> str:
    """As RuNNer writes ``input.data``, in atomic units."""
    archives = importlib.import_module("archives")
    lines = []
    for frame in frames:
        lines += ["begin", "comment made by a test"]
        if frame.pbc.any():
            for vector in frame.cell[:] / archives.BOHR:
                lines.append("lattice " + " ".join(f"{x:.12f}" for x in vector))
        columns = zip(frame.symbols, frame.positions, frame.arrays["forces"])
        for symbol, place, force in columns:
            place = place / archives.BOHR
            force = force * archives.BOHR / archives.HARTREE
            numbers = [f"{x:.14f}" for x in (*place, *force)]
            words = ["atom", *numbers[:3], symbol, "0.5", "0.0", *numbers[3:]]
            lines.append(" ".join(words))
        energy = frame.info["energy"] / archives.HARTREE
        lines += [f"energy {energy:.14f}", "charge 1.0", "end"]
    return "\n".join(lines) + "\n"


def convert(
    prepare: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    archive: Path,
    *more: str,
) -> Path:
    output = archive.parent / "out"
    words = ["prepare.py", system, str(archive), "--output", str(output), *more]
    monkeypatch.setattr(sys, "argv", words)
    prepare.main()
    return output


def assert_same(written: Path, frames: list[ase.Atoms]) -> None:
    """All of them, in any order: each energy, its positions and forces."""
    found = {round(f.get_potential_energy(), 7): f for f in ase.io.read(written, ":")}
    assert len(found) <= len(frames)
    expected = {round(f.info["energy"], 7): f for f in frames}
    for energy, frame in found.items():
        original = expected[energy]
        np.testing.assert_allclose(frame.positions, original.positions, atol=1e-8)
        np.testing.assert_allclose(frame.get_forces(), original.arrays["forces"], atol=1e-8)
        np.testing.assert_allclose(frame.cell[:], original.cell[:], atol=1e-8)
        assert (frame.pbc == original.pbc).all()


@pytest.mark.parametrize("kind", ["file", "zip", "tar.gz", "folder"])
def test_runner(prepare, monkeypatch, tmp_path, kind):
    frames = clusters(20)
    frames[3].cell, frames[3].pbc = np.diag([20.0, 21.0, 22.0]), True
    text = runner_text(frames, prepare)
    source = tmp_path / "input.data"
    source.write_text(text)
    archive = source
    if kind == "folder":
        archive = tmp_path / "record"
        archive.mkdir()
        source.rename(archive / "input.data")
    elif kind == "zip":
        archive = tmp_path / "record.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.write(source, "NaCl/input.data")
            file.writestr("NaCl/README.txt", "not data")
    elif kind == "tar.gz":
        archive = tmp_path / "record.tar.gz"
        with tarfile.open(archive, "w:gz") as file:
            file.add(source, "NaCl/input.data")
    output = convert(prepare, monkeypatch, "nacl_cluster", archive, "--incomplete")
    for part, number in (("train", 18), ("val", 2)):
        path = output / f"nacl_cluster_{part}.xyz"
        assert_same(path, frames)
        assert len(ase.io.read(path, ":")) == number


def test_extended_xyz_with_classes(prepare, monkeypatch, tmp_path):
    """Each class is divided in the ratio of the paper; test files stay test files."""
    frames = structures(40, ["C", "H", "H", "H", "H"])
    shift = 1037.1395 - 5.9724 + 4 * (16.3878 - 2.6544)
    for number, frame in enumerate(frames):
        frame.info["label"] = "AA" if number % 2 else "PP"
        frame.info["energy"] -= shift
    folder = tmp_path / "data"
    folder.mkdir()
    ase.io.write(folder / "train.xyz", frames[:30], format="extxyz")
    ase.io.write(folder / "test.xyz", frames[30:], format="extxyz")
    output = convert(prepare, monkeypatch, "biodimers", folder, "--incomplete")
    parts = {p: ase.io.read(output / f"biodimers_{p}.xyz", ":") for p in ("val", "test")}
    assert [f.info["label"] for f in parts["val"]].count("AA") == 3
    assert [f.info["label"] for f in parts["val"]].count("PP") == 3
    assert len(parts["test"]) == 10
    assert_same(output / "biodimers_test.xyz", frames[30:])


@pytest.mark.parametrize("names", ["RZEF", "long"])
def test_npz(prepare, monkeypatch, tmp_path, names):
    frames = structures(2600, ["C"] * 9 + ["H"] * 4)
    keys = {"R": "positions", "Z": "atomic_numbers", "E": "energy", "F": "forces"}
    arrays = {
        "R": np.array([frame.positions for frame in frames]),
        "Z": frames[0].numbers,
        "E": np.array([frame.info["energy"] for frame in frames])[:, None],
        "F": np.array([frame.arrays["forces"] for frame in frames]),
    }
    chosen = arrays if names == "RZEF" else {keys[k]: v for k, v in arrays.items()}
    archive = tmp_path / "cumulene.npz"
    np.savez(archive, **chosen)
    output = convert(prepare, monkeypatch, "cumulene", archive)
    parts = {
        p: ase.io.read(output / f"cumulene_{p}.xyz", ":") for p in ("train", "val", "test")
    }
    assert {p: len(f) for p, f in parts.items()} == {"train": 2000, "val": 500, "test": 100}
    energies = [round(f.get_potential_energy(), 7) for p in parts.values() for f in p]
    assert len(set(energies)) == 2600


def test_what_is_not_as_published(prepare, monkeypatch, tmp_path):
    def refused(frames: list[ase.Atoms], match: str, *more: str) -> None:
        path = tmp_path / "data.xyz"
        ase.io.write(path, frames, format="extxyz")
        with pytest.raises(ValueError, match=match):
            convert(prepare, monkeypatch, "nacl_cluster", path, *more)

    refused(clusters(20), "20 frames for training .* expected 5000")
    (frame,) = clusters(1)
    refused([frame[:10]], "has 10 atoms", "--incomplete")
    frame.info["energy"] /= 27.2
    refused([frame], "the unit is not eV", "--incomplete")
    (frame,) = clusters(1)
    frame.arrays["forces"][0, 0] += 1.0
    refused([frame], "forces add up to 1 eV/A", "--incomplete")
    (frame,) = clusters(1)
    frame.symbols[0] = "K"
    refused([frame], r"has \['K'\]", "--incomplete")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="no frames"):
        prepare.read(tmp_path / "nothing")


def test_twins_are_described():
    """Each twin that is there has its generator and its options."""
    folder = FOLDER / "twins"
    for path in folder.glob("*.xyz.gz"):
        name = path.name.removesuffix(".xyz.gz")
        assert (folder / f"{name}.py").exists()
        assert (folder / f"{name}.yaml").exists()
        with gzip.open(path, "rt") as file:
            frames = ase.io.read(io.StringIO(file.read()), ":", format="extxyz")
        splits = {frame.info["split"] for frame in frames}
        assert splits >= {"train", "val", "test"}
        assert all(np.abs(f.get_forces().sum(axis=0)).max() < 0.01 for f in frames)
    assert sum(path.stat().st_size for path in folder.glob("*.gz")) < 10e6
