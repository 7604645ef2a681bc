"""Models of lorem-jax to metatrain checkpoints and back, without JAX."""

from pathlib import Path
from typing import Literal, cast

import metatensor.torch as mts
import torch
from metatomic.torch import ModelOutput, System
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info

from ..checkpoint_files import read_model
from ..documentation import ModelHypers
from ..model import ARCHITECTURE, LOREM
from ..network.readout import ScalarBlock
from ..trainer import Trainer
from .files import JaxModel, check_free, read_jax_model, write_jax_model
from .parameters import jax_parameters, load_jax_parameters
from .settings import hypers_from_settings, settings_from_hypers


# lorem-jax follows ASE, and knows a single target. metatrain compares the spelling of the
# length unit with that of the options when training goes on.
LENGTH_UNIT, ENERGY_UNIT, TARGET = "Angstrom", "eV", "energy"

Accuracy = float | Literal["reference"]


def from_jax(
    folder: str | Path,
    checkpoint: str | Path,
    accuracy: Accuracy = 1e-6,
    replace: bool = True,
) -> None:
    """Convert a checkpoint folder of lorem-jax to a metatrain checkpoint.

    ``mtt export``, ``mtt train --restart`` and fine-tuning take the result like any
    other.

    :param folder: folder that contains ``model/model.yaml``, ``model/baseline.yaml`` and
        ``model/model.msgpack``
    :param checkpoint: file to write, with the ending ``.ckpt``
    :param accuracy: hyper-parameter ``long_range.accuracy``; ``"reference"`` reproduces
        the numerical approximations of lorem-jax
    :param replace: whether to write over a file that is there
    :raises FileExistsError: if it may not
    :raises FileNotFoundError: if one of the files is missing
    :raises ValueError: for a class, setting or parameter that is not supported, naming it
    """
    if Path(checkpoint).suffix != ".ckpt":
        raise ValueError(f"'{checkpoint}' must end in '.ckpt', like all checkpoints")
    check_free(checkpoint, replace)
    model = model_from_jax(read_jax_model(folder), accuracy)
    trainer = Trainer(get_default_hypers(ARCHITECTURE)["training"])
    trainer.save_checkpoint(model, checkpoint)


def to_jax(
    checkpoint: str | Path,
    folder: str | Path,
    target: str | None = None,
    replace: bool = False,
) -> None:
    """Convert a metatrain checkpoint of LOREM to a checkpoint folder of lorem-jax.

    :param checkpoint: checkpoint, of which the best model is taken
    :param folder: folder to write, for lorem-jax's ``Calculator.from_checkpoint``
    :param target: energy to convert, if the model has several targets
    :param replace: whether to write over a model that is there
    :raises FileNotFoundError: if there is no such checkpoint
    :raises FileExistsError: if the folder holds a model already
    :raises ValueError: for what lorem-jax cannot express, naming it
    """
    model = read_model(checkpoint)
    write_jax_model(folder, jax_from_model(model, target), replace)


def model_from_jax(jax_model: JaxModel, accuracy: Accuracy = 1e-6) -> LOREM:
    """Model with the settings, parameters and baseline of lorem-jax's.

    :param jax_model: the model, see :func:`.files.read_jax_model`
    :param accuracy: see :func:`from_jax`
    :raises ValueError: see :func:`from_jax`
    """
    target = {"unit": ENERGY_UNIT, "quantity": "energy", "description": ""}
    info = DatasetInfo(
        length_unit=LENGTH_UNIT,
        atomic_types=sorted(jax_model.baseline),
        targets={TARGET: get_energy_target_info(TARGET, target, True)},
    )
    hypers = hypers_from_settings(jax_model.settings, accuracy)
    model = LOREM(cast(ModelHypers, hypers), info)
    # A model has one dtype: that of its first parameter. Others are refused by name.
    dtype = next(iter(jax_model.parameters.values())).dtype.name
    if dtype not in ("float32", "float64"):
        raise ValueError(f"the parameters are {dtype}, neither float32 nor float64")
    model.to(getattr(torch, dtype))
    load_jax_parameters(model.network, model.readouts[TARGET], jax_model.parameters)
    _set_baseline(model, jax_model.baseline)
    return model


def jax_from_model(model: LOREM, target: str | None = None) -> JaxModel:
    """The reverse of :func:`model_from_jax`, also for models trained by metatrain.

    The scale that metatrain gives to a target becomes part of the last layers.

    :param target: energy to convert, if the model has several targets
    :raises ValueError: for what lorem-jax cannot express, naming it
    """
    target = _energy_target(model, target)
    parameters = jax_parameters(model.network, model.readouts[target])
    scale = _scale(model, target)
    if scale != 1.0:
        # The last layers of the readouts; other networks have two layers.
        for path in parameters:
            if path.startswith("params/MLP_") and "/Dense_2/" in path:
                parameters[path] = parameters[path] * parameters[path].dtype.type(scale)
    return JaxModel(
        settings=settings_from_hypers(model.hypers),
        baseline=_baseline(model, target),
        parameters=parameters,
    )


def _energy_target(model: LOREM, target: str | None) -> str:
    """Name of the target to convert, after all checks."""
    targets = model.dataset_info.targets
    if target is None:
        if len(targets) != 1:
            raise ValueError(f"choose one of the targets {sorted(targets)}")
        target = next(iter(targets))
    if target not in targets:
        raise ValueError(f"the model has no target '{target}', only {sorted(targets)}")
    units = {
        "length unit": (model.dataset_info.length_unit.capitalize(), LENGTH_UNIT),
        f"unit of '{target}'": (targets[target].unit, ENERGY_UNIT),
    }
    for name, (unit, expected) in units.items():
        if unit != expected:
            raise ValueError(f"the {name} is '{unit}'; lorem-jax takes '{expected}'")
    blocks = list(model.readouts[target].blocks)
    if (
        len(blocks) != 1
        or not isinstance(blocks[0], ScalarBlock)
        or blocks[0].layers[0].out_features != 1
    ):
        raise ValueError(f"target '{target}' is not a single scalar, like the energy")
    rows = model.network.species.num_embeddings
    if rows != 100:
        raise ValueError(f"the species embedding has {rows} rows; lorem-jax has 100")
    return target


def _set_baseline(model: LOREM, baseline: dict[int, float]) -> None:
    """Write the energies of the species to the composition model."""
    composition = model.additive_models[0]
    name = f"{TARGET}_composition_buffer"
    weights = mts.load_buffer(composition.get_buffer(name))
    block = weights.block()
    for i, z in enumerate(block.samples.column("center_type").tolist()):
        block.values[i] = baseline[z]
    composition.register_buffer(name, mts.save_buffer(weights))
    composition.sync_tensor_maps()


def _baseline(model: LOREM, target: str) -> dict[int, float]:
    """Energies of the species, zero for a model without baseline."""
    block = model.additive_models[0].model.weights[target].block()
    types = block.samples.column("center_type").tolist()
    return dict(zip(types, block.values.flatten().tolist()))


def _scale(model: LOREM, target: str) -> float:
    """Factor from the network's predictions to physical ones."""
    atom = System(
        types=torch.tensor(model.atomic_types[:1]),
        positions=torch.zeros(1, 3, dtype=torch.float64),
        cell=torch.zeros(3, 3, dtype=torch.float64),
        pbc=torch.zeros(3, dtype=torch.bool),
    )
    output = ModelOutput(sample_kind="system")
    scales = model.scaler.get_scales([atom], {target: output})
    return scales[target].block().values.item()
