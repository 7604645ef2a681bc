"""The sum of coefficients of determination, against its formula."""

import pytest
import torch
from metatrain.utils.metrics import get_selected_metric

from metatrain_lorem.training.batch import Block
from metatrain_lorem.training.determination import Determination, selected_metric


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def block(values: torch.Tensor, forces: torch.Tensor) -> Block:
    return Block(values, {"positions": Block(forces)})


def coefficient(errors: torch.Tensor, labels: torch.Tensor) -> float:
    return float(1 - errors.square().sum() / (labels - labels.mean()).square().sum())


@pytest.mark.parametrize("incomplete", [False, True])
def test_formula(incomplete):
    """Over all batches, of energies and forces; missing labels count nowhere."""
    labels = [random(4, 1, seed=0) + 3, random(9, 3, seed=1)]
    errors = [0.3 * random(4, 1, seed=2), 0.2 * random(9, 3, seed=3)]
    masks = [torch.ones_like(values, dtype=torch.bool) for values in labels]
    if incomplete:
        masks[0][3], masks[1][7:] = False, False
        labels[0][3], labels[1][7:] = torch.nan, torch.nan
        errors[0][3], errors[1][7:] = torch.nan, torch.nan
    found = Determination()
    for structures, atoms in ((slice(0, 1), slice(0, 2)), (slice(1, 4), slice(2, 9))):
        parts = [
            block(values[0][structures], values[1][atoms])
            for values in (errors, labels, masks)
        ]
        found.add("energy", parts[0], parts[1], parts[2] if incomplete else None)
    expected = sum(coefficient(e[m], y[m]) for e, y, m in zip(errors, labels, masks))
    summary = found.summary(is_distributed=False)
    assert summary == {"R2 sum": pytest.approx(expected, rel=1e-5)}
    assert selected_metric(summary, "r2_sum") == -summary["R2 sum"]


def test_labels_that_do_not_vary():
    """One energy has no variance; its forces do."""
    zero = block(torch.zeros(1, 1), torch.zeros(2, 3))
    found = Determination()
    found.add("energy", zero, block(torch.ones(1, 1), random(2, 3, seed=0)), None)
    assert found.summary(is_distributed=False) == {"R2 sum": 1.0}
    found = Determination()
    found.add("energy", Block(torch.zeros(3, 1)), Block(torch.ones(3, 1)), None)
    summary = found.summary(is_distributed=False)
    assert summary == {}
    with pytest.raises(ValueError, match="whose labels vary"):
        selected_metric(summary, "r2_sum")


def test_other_metrics_are_those_of_metatrain():
    metrics = {"loss": 3.0, "energy MAE": 2.0, "forces MAE": 5.0}
    for name in ("loss", "mae_prod", "rmse_prod"):
        assert selected_metric(metrics, name) == get_selected_metric(metrics, name)
