"""``mtt-lorem to-jax``."""

import pytest
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
