"""Exported models are read as data."""

import pickle
import zipfile

import pytest
from helpers.evil import Evil
from helpers.lorem_models import fit, make_model

from metatrain_lorem.exported_files import has_extensions, read_exported


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.pt"
    fit(make_model()).export().save(str(path))
    return path


def test_attributes(exported):
    module = read_exported(exported).module
    coulomb = module.network.long_range.coulomb
    assert (coulomb.cutoff, coulomb.split.accuracy) == (4.0, 1e-6)
    assert module.network.long_range.charges.num_columns == 10
    assert not has_extensions(exported)


def replaced(exported, path, name, data):
    with zipfile.ZipFile(exported) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            is_it = entry.split("/", 1)[1] == name
            new.writestr(entry, data if is_it else old.read(entry))


def test_nothing_is_executed(exported, tmp_path):
    path, witness = tmp_path / "evil.pt", tmp_path / "witness"
    data = pickle.dumps(Evil(witness), protocol=2)
    replaced(exported, path, "data.pkl", data)
    with pytest.raises(ValueError, match="is damaged, or no exported model"):
        read_exported(path)
    assert not witness.exists()
    pickle.loads(data)  # the test of the test
    assert witness.exists()


def test_extensions_are_seen(exported, tmp_path):
    path = tmp_path / "model.pt"
    entry = b'[{"name": "x", "path": "/tmp/x.so", "sha256": ""}]'
    replaced(exported, path, "extra/extensions", entry)
    assert has_extensions(path)


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_damaged(content, exported, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(exported.read_bytes()[:5000] if content is None else content)
    with pytest.raises(ValueError, match="'.*model.pt' is damaged, or no exported model"):
        read_exported(path)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no model"):
        read_exported(tmp_path / "model.pt")
