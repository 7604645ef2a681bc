"""Evaluation, tables and figures of the paper's ablation, on made-up numbers."""

import importlib
import sys
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest


FOLDER = Path(__file__).parents[1] / "examples" / "paper"
MODULES = ("systems", "evaluation", "figures", "tables", "training")


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in MODULES:
        sys.modules.pop(name, None)


def load(name: str) -> Any:
    return importlib.import_module(name)


def frames(curve: str, number: int = 7) -> list[ase.Atoms]:
    """A parabola with its minimum at 3.3."""
    result = []
    for x in np.linspace(3.0, 3.6, number):
        frame = ase.Atoms("NaCl", [[0.0, 0.0, 0.0], [x, 0.0, 0.0]])
        frame.info.update(energy=5.0 + (x - 3.3) ** 2, distance=float(x), curve=curve)
        frame.arrays["forces"] = np.array([[2 * (x - 3.3), 0, 0], [-2 * (x - 3.3), 0, 0]])
        result.append(frame)
    return result


def test_errors():
    """Energies per atom and force components, in meV."""
    evaluation = load("evaluation")
    some = frames("a", 2) + frames("b", 2)
    energies, forces = evaluation.labels(some)
    shifted = [energy + 0.02 * sign for energy, sign in zip(energies, (1, -1, 1, 1))]
    changed = [force + 0.001 * (1 + i // 2) for i, force in enumerate(forces)]
    found = evaluation.errors(some, (shifted, changed))
    assert found["energy_rmse"] == pytest.approx(10.0)
    assert found["energy_mae"] == pytest.approx(10.0)
    assert found["forces_mae"] == pytest.approx(1.5)
    assert found["forces_rmse"] == pytest.approx(2.5**0.5)
    classes = found["classes"]
    assert {name: c["forces_mae"] for name, c in classes.items()} == pytest.approx(
        {"a": 1.0, "b": 2.0}
    )


def test_minimum():
    evaluation = load("evaluation")
    x = [3.0, 3.2, 3.4]
    place, energy = evaluation.minimum(x, [(a - 3.23) ** 2 - 1 for a in x])
    assert (place, energy) == pytest.approx((3.23, -1.0))
    assert evaluation.minimum(x, [2.0, 1.0, 0.0]) is None


@pytest.mark.parametrize("name", ["nacl_cluster", "cumulene", "biodimers", "mgo_surface"])
def test_figures_and_tables(name, tmp_path):
    """Of all kinds, with the paper's numbers beside ours."""
    pytest.importorskip("matplotlib")
    evaluation, figures, tables = load("evaluation"), load("figures"), load("tables")
    system = load("systems").SYSTEMS[name]
    names = ["first"] if name == "cumulene" else ["first", "second"]
    some = [frame for curve in names for frame in frames(curve)]
    for frame in some:
        frame.info.update(angle=frame.info["distance"])
    predict = {v: evaluation.labels for v in load("systems").VARIANTS}
    results: dict[str, Any] = {"data": "a test"}
    results["variants"] = {v: evaluation.errors(some, p(some)) for v, p in predict.items()}
    if system.abscissa:
        sources = {figures.REFERENCE: evaluation.labels, **predict}
        results["curves"] = evaluation.curves(some, system.abscissa, sources)
    else:
        for content in results["variants"].values():
            content["classes"]["first"]["forces_mae"] = 3.0
    figures.draw(name, results, tmp_path / name)
    assert (tmp_path / f"{name}.png").stat().st_size > 5000
    assert (tmp_path / f"{name}.svg").read_text().count("<path") > 10
    table = tables.markdown(name, results)
    rows = [line for line in table.splitlines() if line.startswith(("| no", "| l ="))]
    assert [row.split(" | ")[-2:] for row in rows] == [
        [f"{energy:.3f}", f"{forces:.3f} |"]
        for energy, forces in zip(system.energy, system.forces)
    ]
    if system.abscissa:
        assert "| first | 3.300 | 3.300; 0.0 |" in table


def test_learning_curve(tmp_path):
    """Parts of an interrupted run are joined; energies come in eV or meV."""
    training = load("training")
    header = "Epoch,validation energy RMSE (per atom),validation forces RMSE\n"
    for part, units, rows in (
        ("a", ",eV,eV/A", ["0,0.5,1.0", "1,0.25,0.5"]),
        ("b", ",meV,meV/A", ["1,240.0,510.0", "2,100.0,90.0", "3,50"]),
    ):
        folder = tmp_path / "outputs" / "day" / part
        folder.mkdir(parents=True)
        (folder / "train.csv").write_text(header + units + "\n" + "\n".join(rows))
    curve = training.learning_curve(tmp_path)
    assert curve["epoch"] == [0, 1, 2]
    assert curve["energy"] == pytest.approx([500.0, 240.0, 100.0])
    assert curve["forces"] == pytest.approx([1000.0, 510.0, 90.0])
    run = training.Run("l = 0", tmp_path, [])
    assert training.epochs_done(run) == 3
    with pytest.raises(FileNotFoundError, match="no checkpoint yet"):
        training.model_so_far(run)


def test_failures_are_told(tmp_path):
    training = load("training")
    command = [sys.executable, "-c", "print('the reason'); raise SystemExit(1)"]
    run = training.Run("l = 1", tmp_path, command)
    with pytest.raises(RuntimeError, match="the reason"):
        training.train([run], 2, 1)
