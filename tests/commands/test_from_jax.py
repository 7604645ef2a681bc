"""``mtt-lorem from-jax``."""

import re
import shutil

import msgpack
import pytest
from helpers.parity_tools import CHECKPOINT
from metatrain.utils.io import load_model

from metatrain_lorem.cli import main


@pytest.mark.parametrize(("text", "accuracy"), [("reference",) * 2, ("1e-5", 1e-5)])
def test_from_jax(text, accuracy, tmp_path, capsys):
    path = tmp_path / "converted.ckpt"
    main(["from-jax", str(CHECKPOINT), "-o", str(path), "--accuracy", text])
    assert load_model(path).hypers["long_range"]["accuracy"] == accuracy
    assert capsys.readouterr().out == f"Wrote '{path}'\n"


def test_refusals(tmp_path, capsys):
    for arguments, message in [
        ([CHECKPOINT, "--accuracy", "high"], "neither a number nor 'reference'"),
        ([tmp_path], "model.yaml"),
    ]:
        with pytest.raises(SystemExit):
            main(["from-jax", *map(str, arguments)])
        assert message in capsys.readouterr().err


PARAMETERS, SETTINGS, ENERGIES = "model.msgpack", "model.yaml", "baseline.yaml"
SETTING = "lorem.models.mlip.Lorem: {cutoff: 5.0}\n"


def spoil(folder, name, content):
    """A copy of the stored model, one file of which is another one."""
    shutil.copytree(CHECKPOINT, folder)
    path = folder / "model" / name
    path.write_bytes(content(path.read_bytes()) if callable(content) else content)
    return folder


def packed(shape, dtype, buffer):
    array = msgpack.ExtType(1, msgpack.packb((shape, dtype, buffer)))
    return msgpack.packb({"params": {"x": array}})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (PARAMETERS, lambda data: data[:1000], "damaged, or not written by flax"),
        (PARAMETERS, b"", "damaged, or not written by flax"),
        (PARAMETERS, b"garbage", "damaged, or not written by flax"),
        (PARAMETERS, lambda data: data + b"x", "damaged, or not written by flax"),
        (PARAMETERS, packed([9, 9], "float32", b"\0" * 8), "damaged, or not written by"),
        (PARAMETERS, packed([1], "object", b"\0" * 8), "array of type 'object'"),
        (PARAMETERS, packed([1], "nonsense", b"\0" * 8), "array of type 'nonsense'"),
        (PARAMETERS, packed([1], "float32", b"\0\0\xc0\x7f"), "'params/x' is not finite"),
        (SETTINGS, b"\xff\xfe\xc9", "can't decode byte"),
        (SETTINGS, b"!!python/object/apply:os.system ['x']", "no plain YAML"),
        (SETTINGS, b"a: [", "no plain YAML"),
        (SETTINGS, b"lorem.models.mlip.Lorem: [1, 2]", "are [1, 2], not 'name: value'"),
        (SETTINGS, b"lorem.models.mlip.Lorem: 5", "are 5, not 'name: value'"),
        (ENERGIES, b"elemental: null", "'elemental' is None, not 'atomic number"),
        (ENERGIES, b"elemental: {}", "'elemental' is {}, not 'atomic number"),
        (ENERGIES, b"elemental: {1: .nan}", "'elemental' holds 1: nan, which is no"),
        (ENERGIES, b"elemental: {-1: 0.0}", "'elemental' holds -1: 0.0"),
        (ENERGIES, b"elemental: {H: 0.0}", "'elemental' holds 'H': 0.0"),
        (ENERGIES, b"elemental: {1: [2]}", "'elemental' holds 1: [2]"),
    ],
)
def test_wrong_files(name, content, words, tmp_path, capsys):
    """The file is named, and nothing is written; no traceback."""
    folder = spoil(tmp_path / "jax", name, content)
    with pytest.raises(SystemExit) as end:
        main(["from-jax", str(folder), "-o", str(tmp_path / "model.ckpt")])
    assert end.value.code == 1
    message = capsys.readouterr().err
    assert message.startswith("mtt-lorem: error: '")
    assert f"/{name}': " in message
    assert words in message
    assert message.count("\n") == 1
    assert not (tmp_path / "model.ckpt").exists()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("model.foo", "must end in '.ckpt'"),
        ("folder.ckpt", "folder.ckpt' exists"),
        ("nodir/model.ckpt", "cannot save '.*nodir/model.ckpt': No such file"),
    ],
)
def test_wrong_outputs(output, words, tmp_path, capsys):
    (tmp_path / "folder.ckpt").mkdir()
    with pytest.raises(SystemExit):
        main(["from-jax", str(CHECKPOINT), "-o", str(tmp_path / output)])
    assert re.search(words, capsys.readouterr().err)


def test_nothing_is_written_over(tmp_path, capsys):
    path = tmp_path / "model.ckpt"
    path.write_text("of value")
    with pytest.raises(SystemExit):
        main(["from-jax", str(CHECKPOINT), "-o", str(path)])
    assert "exists: choose another one, or add --force" in capsys.readouterr().err
    assert path.read_text() == "of value"
    main(["from-jax", str(CHECKPOINT), "-o", str(path), "--force"])
    assert capsys.readouterr().out == f"Wrote '{path}'\n"
    assert path.read_bytes() != b"of value"
