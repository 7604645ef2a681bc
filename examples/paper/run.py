"""The paper's ablation: train four variants, evaluate them, write table row and figure.

    python examples/paper/run.py nacl_cluster        # or: all
    python examples/paper/run.py nacl_cluster --quick
    python examples/paper/run.py nacl_cluster --original FOLDER

The data are those of ``twins``: systems of our own making with the same physics. With
``--original``, data and options are the paper's: FOLDER is what ``prepare.py`` wrote.

What was interrupted goes on where it was if the same command is given again, and
``--so-far`` evaluates what has been learned until then. Trainings
are in ``runs``; results (JSON, Markdown, SVG, PNG) go to ``results``.
"""

import argparse
import functools
import gzip
import io
import json
import shutil
from pathlib import Path
from typing import Any

import ase
import ase.io
import torch
from evaluation import curves, errors, labels, predict
from figures import REFERENCE, draw
from omegaconf import OmegaConf
from systems import HERE, OPTIONS, SYSTEMS, VARIANTS
from tables import markdown
from training import epochs_done, learning_curve, model_so_far, prepare_runs, train


PARTS = ("train", "val", "test", "scan")
QUICK = {
    "epochs": 2,
    "frames": 24,  # of each part
    "options": [
        "architecture.model.max_degree=2",
        "architecture.model.num_features=16",
        "architecture.model.num_radial=8",
        "architecture.training.warmup_epochs=0",
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("system", choices=[*SYSTEMS, "all"])
    parser.add_argument("--quick", action="store_true", help="minutes, and no good model")
    parser.add_argument("--original", type=Path, help="folder that prepare.py wrote")
    parser.add_argument("--so-far", action="store_true", help="evaluate, do not train")
    parser.add_argument("--processes", type=int, default=2, help="trainings at a time")
    parser.add_argument("--output", type=Path, help="instead of this script's folder")
    arguments = parser.parse_args()
    names = SYSTEMS if arguments.system == "all" else [arguments.system]
    output = arguments.output or HERE
    if arguments.quick and arguments.output is None:
        output = HERE / "runs" / "quick"
        shutil.rmtree(output, ignore_errors=True)
    for name in names:
        run(name, output, arguments)


def run(name: str, output: Path, arguments: argparse.Namespace) -> None:
    original = arguments.original
    kind = "twin" if original is None else "original"
    options = (HERE / "twins" if kind == "twin" else OPTIONS) / f"{name}.yaml"
    frames = twin_frames(name) if original is None else original_frames(name, original)
    overrides = []
    epochs = OmegaConf.load(options)["architecture"]["training"]["num_epochs"]
    if arguments.quick:
        frames = {part: spread(some, QUICK["frames"]) for part, some in frames.items()}
        epochs = QUICK["epochs"]
        overrides = [*QUICK["options"], f"architecture.training.num_epochs={epochs}"]
    folder = output / "runs" / f"{name}_{kind}"
    data = write_data(frames, folder)
    runs = prepare_runs(folder, options, data, overrides)
    print(f"{name} ({kind}): {len(frames['train'])} structures", flush=True)
    if not arguments.so_far:
        train(runs, epochs, arguments.processes)

    results = evaluate(name, frames, {run.variant: model_so_far(run) for run in runs})
    least = min(map(epochs_done, runs)) if arguments.so_far else epochs
    results["data"] = _describe(kind, len(frames["train"]), least)
    results["options"] = OmegaConf.to_container(OmegaConf.load(options)["architecture"])
    for training in runs:
        curve = learning_curve(training.folder)
        results["variants"][training.variant]["learning_curve"] = curve
    save(
        name, results, output / "results" / (name if kind == "twin" else f"{name}_original")
    )


def save(name: str, results: dict[str, Any], path: Path) -> None:
    """Write the results as numbers, table and figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(rounded(results), indent=1) + "\n")
    table = markdown(name, results)
    path.with_suffix(".md").write_text(table)
    if "curves" in results or not SYSTEMS[name].abscissa:
        draw(name, results, path)
    print(table)


def twin_frames(name: str) -> dict[str, list[ase.Atoms]]:
    """Parts of a twin, which lie in one compressed file."""
    with gzip.open(HERE / "twins" / f"{name}.xyz.gz", "rt") as file:
        frames = read(io.StringIO(file.read()))
    return {part: [f for f in frames if f.info["split"] == part] for part in PARTS}


def original_frames(name: str, folder: Path) -> dict[str, list[ase.Atoms]]:
    """Files of ``prepare.py``; systems without a test set are tested on validation."""
    paths = {part: folder / f"{name}_{part}.xyz" for part in PARTS}
    frames = {part: read(path) if path.exists() else [] for part, path in paths.items()}
    frames["test"] = frames["test"] or frames["val"]
    return frames


def read(file: Any) -> list[ase.Atoms]:
    """Energies and forces are kept under these names, not in a calculator."""
    frames = ase.io.read(file, ":", format="extxyz")
    for frame in frames:
        if frame.calc is not None:
            frame.info["energy"] = float(frame.calc.results["energy"])
            frame.arrays["forces"] = frame.calc.results["forces"]
            frame.calc = None
        frame.info.setdefault("curve", name_of_class(frame))
    return frames


def name_of_class(frame: ase.Atoms) -> str:
    return str(frame.info.get("label", frame.get_chemical_formula()))


def spread(frames: list[ase.Atoms], number: int) -> list[ase.Atoms]:
    """About so many frames, of all curves and classes."""
    return frames[:: max(1, len(frames) // number)]


def write_data(frames: dict[str, list[ase.Atoms]], folder: Path) -> dict[str, Path]:
    """Files that metatrain reads; the same ones if a run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {part: folder / f"{part}.xyz" for part in PARTS[:3]}
    for part, path in paths.items():
        ase.io.write(path, frames[part], format="extxyz")
    return paths


def evaluate(
    name: str, frames: dict[str, list[ase.Atoms]], models: dict[str, Path]
) -> dict[str, Any]:
    torch.set_num_threads(1)
    predictors = {v: functools.partial(predict, models[v]) for v in VARIANTS}
    results: dict[str, Any] = {"system": name, "variants": {}}
    for variant, predictor in predictors.items():
        results["variants"][variant] = errors(frames["test"], predictor(frames["test"]))
    abscissa = SYSTEMS[name].abscissa
    if abscissa and frames["scan"]:
        sources = {REFERENCE: labels, **predictors}
        results["curves"] = curves(frames["scan"], abscissa, sources)
    return results


def rounded(content: Any) -> Any:
    """Six digits are enough, and small files are easier to compare."""
    if isinstance(content, float):
        return float(f"{content:.6g}")
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, list):
        return [rounded(value) for value in content]
    return content


def _describe(kind: str, number: int, epochs: int) -> str:
    what = "twin of our own making" if kind == "twin" else "the paper's data"
    return f"{what}, {number} structures, {epochs} epochs"


if __name__ == "__main__":
    main()
