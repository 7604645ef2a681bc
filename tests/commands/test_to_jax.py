"""``mtt-lorem to-jax``."""

import pytest
import torch
from helpers.evil import Evil
from helpers.parity_cases import BASELINE
from helpers.parity_tools import CHECKPOINT

from metatrain_lorem.cli import main
from metatrain_lorem.lorem_jax.convert import from_jax
from metatrain_lorem.lorem_jax.files import read_jax_model


def test_to_jax(tmp_path, capsys):
    path, folder = tmp_path / "converted.ckpt", tmp_path / "back"
    from_jax(CHECKPOINT, path)
    main(["to-jax", str(path), "-o", str(folder), "--target", "energy"])
    assert read_jax_model(folder).baseline == BASELINE
    assert capsys.readouterr().out == f"Wrote '{folder}'\n"


def test_missing_checkpoint(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["to-jax", str(tmp_path / "missing.ckpt"), "-o", str(tmp_path)])
    assert "no checkpoint" in capsys.readouterr().err


def failure(capsys, *arguments):
    """What the command line says; never a traceback."""
    with pytest.raises(SystemExit) as end:
        main(["to-jax", *map(str, arguments)])
    assert end.value.code == 1
    message = capsys.readouterr().err
    assert message.startswith("mtt-lorem: error: ")
    assert message.count("\n") == 1
    return message


def test_nothing_is_written_over(tmp_path, capsys):
    path, folder = tmp_path / "converted.ckpt", tmp_path / "back"
    from_jax(CHECKPOINT, path)
    main(["to-jax", str(path), "-o", str(folder)])
    assert "exists: choose another one, or add --force" in failure(
        capsys, path, "-o", folder
    )
    main(["to-jax", str(path), "-o", str(folder), "--force"])


def test_nothing_is_executed(tmp_path, capsys):
    path = tmp_path / "evil.ckpt"
    torch.save({"architecture_name": Evil(tmp_path / "witness")}, path)
    message = failure(capsys, path, "-o", tmp_path / "back")
    assert "not loaded, as it might execute something" in message
    assert not (tmp_path / "witness").exists()
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_damaged_checkpoint(content, tmp_path, capsys):
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    message = failure(capsys, path, "-o", tmp_path / "back")
    assert "model.ckpt' is damaged, or no checkpoint" in message


def test_output_is_a_file(tmp_path, capsys):
    path = tmp_path / "converted.ckpt"
    from_jax(CHECKPOINT, path)
    assert "converted.ckpt" in failure(capsys, path, "-o", path)
