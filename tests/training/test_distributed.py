"""Several processes that train together, here on CPUs."""

import pytest
import torch
from helpers.two_processes import cases, run, worker

import metatrain_lorem.trainer


@pytest.mark.slow
def test_two_processes_train_like_one(tmp_path, monkeypatch):
    """Same gradients in each step, whatever heads and parameters take part."""
    torch.multiprocessing.start_processes(
        worker, args=(str(tmp_path),), nprocs=2, start_method="spawn"
    )
    ranks = [torch.load(tmp_path / f"results-{i}.pt") for i in range(2)]
    # what `run` replaces will be restored
    monkeypatch.setattr(
        metatrain_lorem.trainer,
        "build_optimizers",
        metatrain_lorem.trainer.build_optimizers,
    )
    for name in cases():
        single = run(name, tmp_path, 4, False, 0)
        first, second = (results[name] for results in ranks)
        assert torch.equal(first["parameters"], second["parameters"]), name
        # Sums over the processes may differ in their last bit; the first one writes.
        assert first["best"] == pytest.approx(second["best"], rel=1e-12)
        assert first["seed"] == second["seed"] == single["seed"]
        scale = float(single["gradients"].abs().max())
        torch.testing.assert_close(
            first["gradients"], single["gradients"], rtol=1e-9, atol=1e-12 * scale
        )
        # metatrain adds up the errors of processes in float32
        assert first["best"] == pytest.approx(single["best"], rel=1e-6)
        # Only one of them writes
        assert (tmp_path / f"0-{name}" / "model_1.ckpt").exists()
        assert not [path for path in (tmp_path / f"1-{name}").rglob("*") if path.is_file()]
