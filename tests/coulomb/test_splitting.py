"""Both parts of a split interaction add up to it, and end as they should."""

import math

import pytest
import torch

from metatrain_lorem.coulomb.splitting import CompactSplit, GaussianSplit


CUTOFF = 4.5
SPLITS = [
    GaussianSplit(CUTOFF, CUTOFF / 8, accuracy=1e-10),
    CompactSplit(CUTOFF, accuracy=1e-10),
    CompactSplit(CUTOFF, accuracy=1e-6),
]


def smeared(split: torch.nn.Module, distances: torch.Tensor) -> torch.Tensor:
    """Potential of a smeared charge, from its Fourier transform."""
    k = torch.linspace(0, split.radius(CUTOFF), 20001, dtype=torch.float64)[1:]
    density = split.waves(k * k) * k * k / (4 * math.pi)
    waves = torch.sinc(torch.outer(distances, k) / math.pi) * density
    first = torch.ones_like(waves[:, :1])  # k = 0
    step = float(k[0])
    return 2 / math.pi * torch.trapezoid(torch.cat([first, waves], 1), dx=step)


@pytest.mark.parametrize("split", SPLITS)
def test_parts_add_up(split):
    distances = torch.linspace(0.01, 1.5, 60, dtype=torch.float64) * CUTOFF
    total = split.pairs(distances) + smeared(split, distances)
    tolerance = 1e-6 if split.accuracy == 1e-6 else 1e-8
    torch.testing.assert_close(total, 1 / distances, rtol=0, atol=tolerance)


@pytest.mark.parametrize("split", SPLITS)
def test_moments(split):
    """Potential at the center, and the integral of the kernel of pairs."""
    near = torch.tensor([1e-3], dtype=torch.float64)
    potential = float(1 / near - split.pairs(near))
    assert potential == pytest.approx(split.self_potential, rel=1e-5)
    r = torch.linspace(0, CUTOFF, 20001, dtype=torch.float64)[1:]
    integral = torch.trapezoid(4 * math.pi * r**2 * split.pairs(r), r)
    assert float(integral) == pytest.approx(2 * math.pi * split.smearing**2, rel=1e-6)


@pytest.mark.parametrize("accuracy", [1e-3, 1e-6, 1e-10])
def test_pairs_end_smoothly(accuracy):
    """Values, slopes and curvatures go to zero, like the third power of what is left."""
    split = CompactSplit(CUTOFF, accuracy)
    left = torch.tensor([0.02, 0.01, 0.005], dtype=torch.float64)
    values = split.pairs(CUTOFF * (1 - left))
    assert float((values[:-1] / values[1:]).min()) > 7.5
    assert not bool(split.pairs(CUTOFF * torch.tensor([1.0, 1.1, 5.0])).any())


@pytest.mark.parametrize("accuracy", [1e-3, 1e-6, 1e-12])
def test_waves_end_smoothly(accuracy):
    split = CompactSplit(CUTOFF, accuracy)
    radius = split.radius(3.0)
    assert radius == split.radius(30.0)
    left = torch.tensor([0.02, 0.01, 0.005], dtype=torch.float64)
    values = split.waves((radius * (1 - left)) ** 2)
    assert float((values[:-1] / values[1:]).min()) > 7.5
    assert not bool(split.waves((radius * (1 + left)) ** 2).any())


def test_rounding():
    """In float32, at distances of any size."""
    split = CompactSplit(CUTOFF, 1e-6)
    distances = torch.tensor([1e-4, 0.1, 2.0, 4.4, 4.4999], dtype=torch.float64)
    expected = split.pairs(distances)
    results = CompactSplit(CUTOFF, 1e-6).float().pairs(distances.float())
    errors = (results.double() - expected) * distances
    assert float(errors.abs().max()) < 3e-7
