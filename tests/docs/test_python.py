"""Python on the pages runs: the blocks of a page one after the other, with small models."""

import os
import warnings
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import ase
import ase.build
import pytest
import torch
from helpers.lorem_models import make_model
from helpers.snippets import ROOT, Snippet, blocks
from metatrain.utils.architectures import get_default_hypers

from metatrain_lorem.coulomb.potentials import find_pairs
from metatrain_lorem.trainer import Trainer


TYPES = [1, 6, 7, 8, 11, 17]
# Each text once: the README and the first pages share some
TEXTS = {block.text: block for block in reversed(blocks("python"))}
BLOCKS = sorted(TEXTS.values())
PAGES = [list(group) for _, group in groupby(BLOCKS, key=lambda block: block.page)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory of a user: a model, a checkpoint and structures."""
    path = tmp_path_factory.mktemp("user")
    for name in ("examples", "options"):
        (path / name).symlink_to(ROOT / name)
    model = make_model(types=TYPES, max_degree=2, num_features=8, num_radial=4)
    trainer = Trainer(get_default_hypers("metatrain_lorem")["training"])
    trainer.save_checkpoint(model.float(), path / "model.ckpt")
    model.export().save(str(path / "model.pt"))
    crystal().write(path / "crystal.xyz")
    before = Path.cwd()
    os.chdir(path)
    yield path
    os.chdir(before)


def crystal() -> ase.Atoms:
    atoms = ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.rattle(0.05, seed=0)
    return atoms


def names_at_hand() -> dict[str, Any]:
    """What blocks take for given: atoms, and an ion pair for the Coulomb solver."""
    cell, pbc = 6.0 * torch.eye(3), torch.tensor([True, True, True])
    positions = torch.tensor([[0.0, 0.0, 0.0], [2.0, 2.5, 3.0]], requires_grad=True)
    pairs = find_pairs(positions, cell, pbc, cutoff=5.0)
    return {
        "atoms": crystal(),
        "positions": positions,
        "charges": torch.tensor([[1.0], [-1.0]]),
        "cell": cell,
        "cells": cell.unsqueeze(0),
        "pbc": pbc,
        "systems": torch.tensor([0, 0]),
        **pairs._asdict(),
    }


def run(snippet: Snippet, names: dict[str, Any]) -> None:
    # Lines of errors are those of the page
    code = "\n" * snippet.line + snippet.text
    exec(compile(code, str(ROOT / snippet.page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page[0].page))
def test_page(page: list[Snippet], folder: Path):
    names = names_at_hand()
    for snippet in page:
        if "CoulombSolver(" in snippet.text:  # a batch, with one row for each system
            names["pbc"] = names["pbc"].reshape(1, 3)
        # TorchScript as it is, as compiling takes longer than these few calls
        with warnings.catch_warnings(), torch.jit.optimized_execution(False):
            warnings.simplefilter("ignore")  # of ASE and metatomic
            run(snippet, names)


def test_there_is_python():
    assert sum(map(len, PAGES)) > 8
