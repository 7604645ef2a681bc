"""``mtt-lorem from-jax``."""

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
