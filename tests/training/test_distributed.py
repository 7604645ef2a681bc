"""Several processes that train together, here on CPUs."""

import pytest
import torch
from helpers.two_processes import cases, run, work, work_as_second

import metatrain_lorem.trainer
from metatrain_lorem.training import process


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Grad strides do not match bucket view strides")
def test_two_processes_train_like_one(tmp_path, monkeypatch):
    """Same gradients in each step, whatever heads and parameters take part."""
    # what `run` and `work` replace will be restored
    for module, name in (
        (metatrain_lorem.trainer, "build_optimizers"),
        (process, "initialize_slurm_nccl_process_group"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    other = torch.multiprocessing.start_processes(
        work_as_second, args=(str(tmp_path),), nprocs=1, join=False, start_method="spawn"
    )
    work(0, str(tmp_path))
    while not other.join():
        pass
    ranks = [torch.load(tmp_path / f"results-{i}.pt") for i in range(2)]
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
