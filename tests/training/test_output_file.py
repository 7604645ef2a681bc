"""The file of ``-o`` is checked before the training."""

import os
import subprocess
import sys

import pytest

from metatrain_lorem.training.output_file import check_output, output_of_command


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/usr/bin/mtt", "train", "options.yaml"], "model.pt"),
        (["mtt", "train", "options.yaml", "-o", "a/b.pt"], "a/b.pt"),
        (["mtt", "train", "-o", "b.pt", "options.yaml"], "b.pt"),
        (["mtt", "train", "options.yaml", "--output=b.pt", "--restart", "auto"], "b.pt"),
        (["mtt", "--debug", "train", "options.yaml"], "model.pt"),
        (["/x/metatrain/__main__.py", "train", "options.yaml"], "model.pt"),
        (["mtt", "eval", "model.pt", "-o", "b.pt"], None),
        (["/x/other/__main__.py", "train"], None),
        (["pytest", "train"], None),
        ([], None),
    ],
)
def test_output_of_command(arguments, expected):
    path = output_of_command(arguments)
    assert (path and str(path)) == expected


def test_no_folder_for_the_output(tmp_path):
    with pytest.raises(ValueError, match="there is no folder '.*nodir'. Make it first"):
        check_output(tmp_path / "nodir" / "model.pt")


def test_output_is_a_folder(tmp_path):
    (tmp_path / "model.pt").mkdir()
    with pytest.raises(ValueError, match="it is a folder"):
        check_output(tmp_path / "model.pt")


def test_read_only_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(ValueError, match="is read-only. Choose another file"):
        check_output(tmp_path / "model.pt")


def test_existing_output(tmp_path, caplog):
    (tmp_path / "model.pt").touch()
    check_output(tmp_path / "model.pt")
    assert "exists, and will be replaced at the end" in caplog.text


def test_two_runs_in_one_folder(tmp_path, caplog):
    code = f"""
from pathlib import Path
from metatrain_lorem.training.output_file import check_output
check_output(Path({str(tmp_path / "model.pt")!r}))
print("ready", flush=True)
input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes, text=True) as other:
        other.stdout.readline()
        check_output(tmp_path / "model.pt")
        assert "Another training writes to" in caplog.text
        other.communicate("\n")
    caplog.clear()
    check_output(tmp_path / "model.pt")
    assert caplog.text == ""
