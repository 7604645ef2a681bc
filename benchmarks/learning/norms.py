"""Invariants and radial functions: errors, extrapolation and rounding, form by form.

    python norms.py prepare FOLDER [--cumulene F --dipeptides F]
    python norms.py run FOLDER --norms smooth paper --radial smooth --seeds 0 1 2
    python norms.py table FOLDER

`prepare` writes the data: ionic crystals with a potential given below, the dimers of the
quickstart and, if their folders are given, cumulenes (gnl_{train,val,test}.xyz) and
dipeptides (train_495.xyz, val_55.xyz). `run` adds a line to FOLDER/results.jsonl for each
model, and leaves out what is there. Errors are in meV/atom and meV/Angstrom, in float64.
A seed sets initial weights and order of the structures.
"""

import argparse
import copy
import itertools
import json
import logging
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from metatomic.torch import ModelOutput, System, systems_to_torch
from metatrain.utils.architectures import get_default_hypers, import_architecture
from metatrain.utils.data import DatasetInfo, get_atomic_types, get_dataset
from metatrain.utils.hypers import init_with_defaults
from metatrain.utils.loss import LossSpecification
from metatrain.utils.neighbor_lists import get_system_with_neighbor_lists


NAME = "metatrain_lorem"
DIMERS = Path(__file__).parents[2] / "examples" / "data"  # of benchmarks/learning
# Structures per step, epochs, highest degree of the charges
SETS = {
    "dimers": (16, 40, 1),
    "cumulene": (8, 30, 2),
    "crystal": (8, 30, 1),
    "dipeptides": (4, 15, 1),
}
COULOMB = 14.399645  # eV Angstrom
LATTICE = 5.74  # of the crystal of lowest energy, Angstrom
OUTPUT = {"energy": ModelOutput(unit="eV", sample_kind="system")}
AXIS = np.array([0.36, 0.48, 0.8])


# Data


def ionic_energy(positions: torch.Tensor, cell: torch.Tensor, numbers: Any) -> torch.Tensor:
    """Born-Mayer repulsion, Ewald sum, and ions polarized by the field of the charges."""
    alpha, cutoff, k_max = 0.4, 10.5, 3.4
    chloride = torch.tensor(numbers == 17)
    charges = torch.where(chloride, -1.0, 1.0).double()
    polarizabilities = torch.where(chloride, 3.0, 0.2).double()
    radii = torch.where(chloride, 1.585, 1.170).double()
    counts = [math.ceil(cutoff * float(v)) + 1 for v in torch.linalg.inv(cell).norm(dim=0)]
    shifts = _grid(counts) @ cell
    vectors = positions[None, :, None] - positions[:, None, None] + shifts
    squared = (vectors * vectors).sum(-1)
    i, j, s = torch.nonzero((squared > 1e-6) & (squared < cutoff**2), as_tuple=True)
    r = squared[i, j, s].sqrt()
    waves = _grid([math.ceil(k_max * float(a.norm()) / 6.28) + 1 for a in cell])
    waves = waves @ (2 * math.pi * torch.linalg.inv(cell).T)
    k2 = (waves * waves).sum(-1)
    inside = (k2 > 1e-9) & (k2 < k_max**2)
    waves, k2 = waves[inside], k2[inside]
    phases = positions @ waves.T
    structure = (charges @ phases.cos()) ** 2 + (charges @ phases.sin()) ** 2
    reciprocal = (torch.exp(-k2 / (4 * alpha**2)) / k2 * structure).sum()
    coulomb = 0.5 * (charges[i] * charges[j] * torch.erfc(alpha * r) / r).sum()
    coulomb = coulomb + 2 * math.pi / torch.linalg.det(cell).abs() * reciprocal
    coulomb = COULOMB * (coulomb - alpha / math.pi**0.5 * (charges * charges).sum())
    forces = torch.autograd.grad(coulomb, positions, create_graph=True)[0]
    field = forces / charges[:, None]
    induction = -0.5 / COULOMB * (polarizabilities * (field * field).sum(1)).sum()
    factors = 1.25 - 0.25 * (chloride[i].double() + chloride[j].double())
    repulsion = factors * 0.2110 * torch.exp((radii[i] + radii[j] - r) / 0.317)
    return coulomb + induction + 0.5 * repulsion.sum()


def _grid(counts: list[int]) -> torch.Tensor:
    axes = [torch.arange(-n, n + 1, dtype=torch.float64) for n in counts]
    return torch.cartesian_prod(*axes)


def crystals(
    count: int, scales: tuple[float, float], rattle: float, random: Any
) -> list[Atoms]:
    """Strained and rattled rock salt of 8 to 32 ions."""
    frames = []
    for n in range(count):
        atoms = bulk("NaCl", "rocksalt", a=LATTICE * random.uniform(*scales), cubic=True)
        atoms = atoms.repeat([(1, 1, 1), (1, 1, 2), (1, 1, 2), (1, 2, 2)][n % 4])
        strain = np.eye(3) + 0.03 * random.uniform(-1, 1, (3, 3))
        atoms.set_cell(atoms.cell @ strain, scale_atoms=True)
        size = random.uniform(0, rattle)
        atoms.positions += size * random.normal(size=(len(atoms), 3))
        positions = torch.tensor(atoms.positions, requires_grad=True)
        energy = ionic_energy(positions, torch.tensor(atoms.cell.array), atoms.numbers)
        atoms.arrays["forces"] = -torch.autograd.grad(energy, positions)[0].numpy()
        atoms.info["energy"] = energy.item()
        frames.append(atoms)
    return frames


def prepare(folder: Path, cumulene: Path | None, dipeptides: Path | None) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    random = np.random.default_rng(1)
    for part, count, scales, rattle in [
        ("train", 160, (0.95, 1.06), 0.15),
        ("val", 24, (0.95, 1.06), 0.15),
        ("test", 64, (0.95, 1.06), 0.15),
        ("compressed", 32, (0.88, 0.92), 0.12),
        ("stretched", 32, (1.10, 1.16), 0.12),
    ]:
        write(folder / f"crystal_{part}.xyz", crystals(count, scales, rattle, random))
    for part in ("train", "val", "test"):
        frames = read(DIMERS / f"dimers_{part}.xyz", "relative_energy")
        write(folder / f"dimers_{part}.xyz", frames)
    if cumulene is not None:
        for part in ("train", "val", "test"):
            write(folder / f"cumulene_{part}.xyz", read(cumulene / f"gnl_{part}.xyz"))
    if dipeptides is not None:
        frames = read(dipeptides / "train_495.xyz")
        order = np.random.default_rng(0).permutation(len(frames))[:160]
        write(folder / "dipeptides_train.xyz", [frames[i] for i in order])
        frames = read(dipeptides / "val_55.xyz")
        write(folder / "dipeptides_val.xyz", frames[::5])
        write(folder / "dipeptides_test.xyz", frames)


def read(path: Path, key: str | None = None) -> list[Atoms]:
    """Structures with energy and forces only."""
    frames = []
    for atoms in ase.io.read(path, ":"):
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        frame.info["energy"] = atoms.info[key] if key else atoms.get_potential_energy()
        frame.arrays["forces"] = atoms.get_forces()
        frames.append(frame)
    return frames


def write(path: Path, frames: list[Atoms]) -> None:
    columns = ["symbols", "positions", "forces"]
    ase.io.write(path, frames, format="extxyz", columns=columns, write_results=False)


# Training


def train(
    folder: Path, name: str, norms: str, radial: str, seed: int, epochs: int | None
) -> Any:
    """A trained model and the errors of the validation set after each epoch."""
    batch_size, num_epochs, degree = SETS[name]
    hypers = copy.deepcopy(get_default_hypers(NAME))
    hypers["model"] |= {"max_degree": 3, "num_features": 64, "num_radial": 16}
    hypers["model"] |= {"norms": norms, "radial_functions": radial}
    hypers["model"]["long_range"]["max_degree"] = degree
    loss = init_with_defaults(LossSpecification)
    gradients = {"positions": init_with_defaults(LossSpecification)}
    hypers["training"] |= {
        "num_epochs": epochs or num_epochs,
        "batch_size": batch_size,
        "num_workers": 0,
        "loss": {"energy": {**loss, "gradients": gradients}},
    }
    dataset, targets = load(folder / f"{name}_train.xyz")
    val, _ = load(folder / f"{name}_val.xyz")
    architecture = import_architecture(NAME)
    torch.manual_seed(seed)
    info = DatasetInfo("Angstrom", get_atomic_types(dataset), targets)
    model = architecture.__model__(hypers["model"], info)
    curve: list[dict[str, float]] = []

    class Recorded(architecture.__trainer__):
        def _validate(self, *arguments: Any) -> dict[str, float]:
            curve.append(super()._validate(*arguments))
            return curve[-1]

    with tempfile.TemporaryDirectory() as checkpoints:
        Recorded(hypers["training"]).train(
            model=model,
            dtype=torch.float32,
            devices=[torch.device("cpu")],
            train_datasets=[dataset],
            val_datasets=[val],
            checkpoint_dir=checkpoints,
        )
    return model, curve


def load(path: Path) -> Any:
    source = {"read_from": str(path), "reader": "ase"}
    target = {
        **source,
        "quantity": "energy",
        "key": "energy",
        "unit": "eV",
        "type": "scalar",
        "sample_kind": "system",
        "num_subtargets": 1,
        "description": "",
        "forces": {**source, "key": "forces"},
        "stress": False,
        "virial": False,
    }
    return get_dataset({"systems": source, "targets": {"energy": target}})[:2]


# Measurements


def predict(model: Any, frames: list[Atoms], dtype: torch.dtype) -> tuple[Any, list[Any]]:
    """Energies without the baseline, and forces."""
    model.to(dtype).train()
    energies, forces = [], []
    for start in range(0, len(frames), 16):
        systems, positions = [], []
        for system in systems_to_torch(frames[start : start + 16], dtype=torch.float64):
            options = model.requested_neighbor_lists()
            system = get_system_with_neighbor_lists(system, options).to(dtype=dtype)
            positions.append(system.positions.detach().clone().requires_grad_())
            moved = System(system.types, positions[-1], system.cell, system.pbc)
            for option in system.known_neighbor_lists():
                moved.add_neighbor_list(option, system.get_neighbor_list(option))
            systems.append(moved)
        values = model(systems, OUTPUT)["energy"].block().values[:, 0]
        gradients = torch.autograd.grad(values.sum(), positions)
        energies.append(values.detach().double())
        forces += [-gradient.double().numpy() for gradient in gradients]
    return torch.cat(energies).numpy(), forces


def errors(model: Any, frames: list[Atoms]) -> dict[str, float]:
    """Errors in float64, and differences of the forces from those in float32."""
    energies, forces = predict(model, frames, torch.float64)
    composition = model.additive_models[0]
    composition.weights_to(torch.device("cpu"), torch.float64)
    systems = systems_to_torch(frames, dtype=torch.float64)
    baseline = composition(systems, OUTPUT, None)["energy"].block().values[:, 0]
    energies = energies + baseline.detach().double().numpy()
    targets = np.array([frame.info["energy"] for frame in frames])
    of_energies = (energies - targets) / np.array([len(frame) for frame in frames])
    forces = np.concatenate(forces)
    rounded = np.concatenate(predict(model, frames, torch.float32)[1])
    of_forces = forces - np.concatenate([frame.arrays["forces"] for frame in frames])
    return {
        "energy": 1000 * rms(of_energies),
        "forces": 1000 * rms(of_forces),
        "float32 rms": 1000 * rms(rounded - forces),
        "float32 max": 1000 * float(abs(rounded - forces).max()),
    }


def rms(values: Any) -> float:
    return float(np.sqrt((values**2).mean()))


class Energies(Calculator):
    """The model without its baseline, for relaxations."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def calculate(
        self, atoms: Any = None, properties: Any = None, changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, changes)
        energies, forces = predict(self.model, [atoms], torch.float64)
        self.results = {"energy": float(energies[0]), "forces": forces[0]}


def scan(model: Any, atoms: Atoms, atom: int) -> list[float]:
    """Energies (meV) of moving an atom 0.005, 0.01, 0.02 Angstrom, mean of both ways."""
    frames = [atoms]
    for distance in (0.005, 0.01, 0.02, -0.005, -0.01, -0.02):
        frames.append(atoms.copy())
        frames[-1].positions[atom] += distance * AXIS
    energies = predict(model, frames, torch.float64)[0]
    return list(1000 * (0.5 * (energies[1:4] + energies[4:]) - energies[0]))


def methane(model: Any) -> dict[str, Any]:
    """Relaxation, and energies of moving the carbon of the tetrahedron of lowest energy."""
    relaxed = molecule("CH4")
    relaxed.calc = Energies(model)
    optimizer = BFGS(relaxed, logfile=None)
    optimizer.run(fmax=1e-3, steps=100)
    base = molecule("CH4")
    frames = []
    for length in np.linspace(0.95, 1.3, 71):
        frames.append(base.copy())
        frames[-1].positions *= length / base.get_distance(0, 1)
    best = frames[int(predict(model, frames, torch.float64)[0].argmin())]
    largest = float(np.linalg.norm(relaxed.get_forces(), axis=1).max())
    return {"steps": optimizer.nsteps, "force": largest, "scan": scan(model, best, 0)}


def rock_salt(model: Any) -> dict[str, Any]:
    """Forces that symmetry forbids (eV/A), and energies of moving one ion."""
    atoms = bulk("NaCl", "rocksalt", a=LATTICE, cubic=True)
    forces = predict(model, [atoms], torch.float64)[1][0]
    return {"force": float(abs(forces).max()), "scan": scan(model, atoms, 0)}


def run(
    folder: Path, name: str, norms: str, radial: str, seed: int, epochs: int | None
) -> Any:
    start = time.process_time()
    model, curve = train(folder, name, norms, radial, seed, epochs)
    seconds = time.process_time() - start
    result = {"set": name, "norms": norms, "radial": radial, "seed": seed}
    result["CPU s"] = seconds
    result["parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    half = curve[max(len(curve) // 2 - 1, 0)]
    result["half"] = {key: 1000 * value for key, value in half.items() if "RMSE" in key}
    for part in ("test", "compressed", "stretched"):
        path = folder / f"{name}_{part}.xyz"
        if path.exists():
            result[part] = errors(model, read(path))
    if name == "dimers":
        result["CH4"] = methane(model)
    if name == "crystal":
        result["NaCl"] = rock_salt(model)
    return result


def table(results: list[Any]) -> None:
    """Mean, and lowest to highest value, over the seeds."""
    keys = sorted({_form(result) for result in results})
    print("| set | norms | radial functions | seeds | energy | forces | float32 max |")
    print("|---" * 7 + "|")
    for key in keys:
        rows = [result["test"] for result in results if _form(result) == key]
        cells = [*key, str(len(rows))]
        for column in ("energy", "forces", "float32 max"):
            values = [row[column] for row in rows]
            text = f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"
            cells.append(text)
        print("| " + " | ".join(cells) + " |")


def _form(result: dict[str, Any]) -> tuple[str, str, str]:
    return result["set"], result["norms"], result["radial"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["prepare", "run", "table"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cumulene", type=Path)
    parser.add_argument("--dipeptides", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--norms", nargs="+", default=["smooth", "paper"])
    parser.add_argument("--radial", nargs="+", default=["smooth"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    if arguments.task == "prepare":
        prepare(arguments.folder, arguments.cumulene, arguments.dipeptides)
        return
    path = arguments.folder / "results.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    results = [json.loads(line) for line in lines]
    if arguments.task == "table":
        table(results)
        return
    done = {(*_form(result), result["seed"]) for result in results}
    forms = itertools.product(
        arguments.seeds, arguments.sets, arguments.norms, arguments.radial
    )
    for seed, name, norms, radial in forms:
        available = (arguments.folder / f"{name}_train.xyz").exists()
        if not available or (name, norms, radial, seed) in done:
            continue
        result = run(arguments.folder, name, norms, radial, seed, arguments.epochs)
        with path.open("a") as file:
            file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
