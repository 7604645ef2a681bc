"""Volumes and inverses of cells, against linear algebra."""

import torch

from metatrain_lorem.coulomb.cells import cell_volumes, inverse_cells


def test_against_linear_algebra():
    """Of cells of any shape and handedness, with their derivatives."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.randn(20, 3, 3, generator=generator, dtype=torch.float64)
    assert 0 < int((torch.linalg.det(cells) < 0).sum()) < 20
    for ours, theirs in [
        (cell_volumes, lambda x: torch.linalg.det(x).abs()),
        (inverse_cells, torch.linalg.inv),
    ]:
        torch.testing.assert_close(ours(cells), theirs(cells), rtol=1e-11, atol=1e-11)
        derivatives = [
            torch.autograd.functional.jacobian(function, cells[:4])
            for function in (ours, theirs)
        ]
        torch.testing.assert_close(*derivatives, rtol=1e-10, atol=1e-10)
