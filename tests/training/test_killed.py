"""SIGKILL at random moments, and the command line under SIGTERM."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import pytest
import torch
from helpers.command_line import mtt
from helpers.training_tools import DIMERS, write_options


SCRIPT = Path(__file__).parents[1] / "helpers" / "killed_training.py"


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_at_random(kills, tmp_path, capsys):
    """Restarted each time: the weights of an uninterrupted training, bit for bit."""
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(tmp_path), str(kills)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    match = re.search(r"(\d+) kills, same weights", result.stdout)
    assert match, result.stdout
    assert int(match.group(1)) >= kills // 2
    with capsys.disabled():
        print(f"\n{result.stdout.strip()}")


@pytest.mark.slow
def test_sigterm_on_the_command_line(tmp_path, monkeypatch):
    """As `scancel` sends it: a checkpoint, an exit status, and a restart from there."""
    training = "{num_epochs: 100000, batch_size: 4, checkpoint_interval: 100000}"
    write_options(tmp_path, "data.xyz", training)
    ase.io.write(tmp_path / "data.xyz", ase.io.read(DIMERS, "::9"))
    command = [sys.executable, "-W", "ignore", "-m", "metatrain", "train", "options.yaml"]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        end = time.monotonic() + 300
        while not list(tmp_path.glob("outputs/*/*/model_0.ckpt")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 128 + signal.SIGTERM
    (latest,) = tmp_path.glob("outputs/*/*/model_latest.ckpt")
    log = (latest.parent / "train.log").read_text()
    assert "Not learned, as the data lack it: stress of 'energy' (key 'stress', in" in log
    assert re.search("stopped by SIGTERM after .* 'outputs/.*/model_latest.ckpt' cont", log)
    checkpoint = torch.load(latest, weights_only=False)

    epochs = checkpoint["epoch"] + 2
    options = ["--restart", "auto", "-r", f"architecture.training.num_epochs={epochs}"]
    mtt(monkeypatch, tmp_path, "train", "options.yaml", *options)
    final = torch.load(tmp_path / "model.ckpt", weights_only=False)
    assert (final["epoch"], final["batch"]) == (epochs - 1, 0)
    (tmp_path / "model.ckpt").unlink()

    with pytest.raises(SystemExit, match="1"):
        mtt(monkeypatch, tmp_path, "train", "options.yaml", "-o", "nodir/model.pt")
    (log,) = tmp_path.glob("outputs/*/*/error.log")
    assert "there is no folder 'nodir'. Make it first" in log.read_text()
