"""LOREM as a metatrain architecture."""

import logging
from typing import Any, Dict, List, Literal, Optional  # noqa: UP035

import torch
from metatensor.torch import Labels, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelMetadata,
    ModelOutput,
    NeighborListOptions,
    System,
)
from metatrain.scaler import Scaler
from metatrain.utils.abc import ModelInterface
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo, TargetInfo
from metatrain.utils.hypers import raise_if_hypers_mismatch
from metatrain.utils.metadata import merge_metadata

from . import checkpoints
from .documentation import ModelHypers
from .hypers import checked_zero_sums, network_arguments
from .network.fixed_tables import with_fixed_tables
from .network.lorem import Network, Nodes
from .outputs import (
    add_matching_blocks,
    atom_map,
    energy_parts,
    keep_requested,
    select_and_sum,
    without_mean,
)
from .systems import atom_samples, graph_of_systems
from .targets import (
    PARTS,
    TargetReadout,
    baseline_of,
    check_name,
    is_charge,
)
from .training.added_types import add_atomic_types
from .training.diagnosis import check_weights


ARCHITECTURE = "metatrain_lorem"


class LOREM(ModelInterface[ModelHypers]):
    """The LOREM model (arXiv:2507.19382): network, readouts, baseline and scales.

    :param hypers: hyper-parameters, see :class:`.documentation.ModelHypers`
    :param dataset_info: length unit, atomic types and targets of the data
    :raises ValueError: for a wrong hyper-parameter or a target that is not supported,
        naming it
    """

    __checkpoint_version__ = 5
    __supported_devices__ = ["cuda", "cpu"]
    __supported_dtypes__ = [torch.float32, torch.float64]
    __default_metadata__ = ModelMetadata(
        references={"architecture": ["https://arxiv.org/abs/2507.19382"]}
    )

    # TorchScript reads the types of containers here.
    outputs: dict[str, ModelOutput]
    new_atomic_types: list[int]
    last_layer_names: dict[str, str]
    last_layer_parameter_names: dict[str, list[str]]
    zero_sum_targets: list[str]
    charge_targets: list[str]
    # Total charge and spin multiplicity; none without `system_conditioning`
    largest_states: Optional[tuple[int, int]]

    def __init__(self, hypers: ModelHypers, dataset_info: DatasetInfo) -> None:
        super().__init__(hypers, dataset_info, self.__default_metadata__)
        self.atomic_types = dataset_info.atomic_types
        self.network = Network(**network_arguments(hypers, self.atomic_types))
        self.cutoff = float(hypers["cutoff"])
        self.largest_states = (
            (int(hypers["max_charge"]), int(hypers["max_spin_multiplicity"]))
            if hypers["system_conditioning"]
            else None
        )
        self.has_long_range = bool(hypers["long_range"]["enable"])
        self.zero_sum_targets = checked_zero_sums(hypers, dataset_info)
        self.neighbor_options = NeighborListOptions(
            cutoff=self.cutoff, full_list=True, strict=True
        )

        self.outputs = {
            "feature": ModelOutput(
                sample_kind="atom", description="scalar features of each stage"
            )
        }
        if self.has_long_range:
            for name in ["charges", "potentials"]:
                self.outputs[f"mtt::aux::{name}"] = ModelOutput(
                    sample_kind="atom", description=f"long-range {name}"
                )
        # Read by metatrain's `llpr` architecture, for uncertainties
        sizes = self.network.sizes
        self.last_layer_feature_size = sizes.num_stages * sizes.num_features
        self.readouts = torch.nn.ModuleDict()
        self.charge_targets = []
        self.last_layer_names = {}
        self.last_layer_parameter_names = {}
        for name, target in dataset_info.targets.items():
            self._add_target(name, target)

        # The trainer removes these from the data; evaluation adds them back.
        self.additive_models = torch.nn.ModuleList(
            [baseline_of(dataset_info, self.atomic_types, self.has_long_range)]
        )
        self.scaler = Scaler(
            hypers=get_default_hypers("scaler")["model"], dataset_info=dataset_info
        )
        self.new_atomic_types = []  # whose baseline the trainer has yet to fit
        self.finetune_config: dict[str, Any] = {}

    def _add_target(self, name: str, target: TargetInfo) -> None:
        """Register a readout and the outputs that belong to it."""
        check_name(name, self.outputs)
        if self.largest_states is not None and name == "charge":
            raise ValueError(
                "target 'charge' has the name of the total charge, an input with "
                "`system_conditioning`: call it 'charge/mbis', or alike"
            )
        self.outputs[name] = ModelOutput(
            unit=target.unit, sample_kind="atom", description=target.description or name
        )
        if self.has_long_range and is_charge(name, target):
            self.charge_targets.append(name)  # those that the atoms exchange
            return
        if self.has_long_range and name == "energy":
            for part in PARTS:
                self.outputs[part] = ModelOutput(
                    unit=target.unit, sample_kind="atom", description=PARTS[part]
                )
        self.readouts[name] = TargetReadout(name, target, self.network)
        base_name = name.replace("mtt::", "")
        last_layer_name = f"mtt::aux::{base_name}_last_layer_features"
        self.last_layer_names[name] = last_layer_name
        self.outputs[last_layer_name] = ModelOutput(
            sample_kind="atom", description=f"last-layer features of {name}"
        )
        if target.is_scalar:  # else the target is not linear in the last-layer features
            self.last_layer_parameter_names[name] = [
                f"readouts.{name}.blocks.0.layers.{stage}.weight"
                for stage in range(self.network.sizes.num_stages)
            ]

    def supported_outputs(self) -> dict[str, ModelOutput]:
        return self.outputs

    def requested_neighbor_lists(self) -> list[NeighborListOptions]:
        return [self.neighbor_options]

    def requested_inputs(self) -> Dict[str, ModelOutput]:  # noqa: UP006
        """Total charge and spin multiplicity; systems without are neutral singlets."""
        if self.largest_states is None:
            return {}
        return {
            "charge": ModelOutput(unit="e", sample_kind="system"),
            "spin_multiplicity": ModelOutput(unit="", sample_kind="system"),
        }

    # metatomic compares these annotations literally: typing's List and Dict it must be.
    def forward(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels] = None,
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        """Predict the requested outputs.

        All atoms interact, whatever the selection: a selection only slices the results.

        :param systems: systems with the neighbor list this model requests
        :param outputs: requested outputs; energies per atom or per system
        :param selected_atoms: labels ``(system, atom)`` of the atoms to report
        """
        results: dict[str, TensorMap] = {}
        if len(systems) == 0:
            return results
        graph = graph_of_systems(systems, self.neighbor_options, self.largest_states)
        samples = atom_samples(graph)
        nodes = self.network(graph)
        atoms = self._predictions(nodes, samples, outputs)
        # Scales, sums over atoms and the baseline in the type of the systems
        for name, per_atom in atoms.items():
            atoms[name] = per_atom.to(dtype=graph.positions.dtype)

        # Before any sum: the scales of a target may depend on the species.
        if not self.training or len(self.zero_sum_targets) > 0:
            atoms = self.scaler.apply_scales(systems, atoms)
            for name in ["energy/short_range", "energy/long_range"]:
                if name in atoms:
                    part = {"energy": atoms[name]}
                    atoms[name] = self.scaler.apply_scales(systems, part)["energy"]
        for name in self.zero_sum_targets:
            if name in atoms:
                atoms[name] = without_mean(atoms[name], graph.systems, len(systems))
        if self.training and len(self.zero_sum_targets) > 0:
            atoms = self.scaler.apply_scales(systems, atoms, remove=True)
        for name, per_atom in atoms.items():
            kind = outputs[name].sample_kind
            results[name] = select_and_sum(per_atom, kind, selected_atoms)
        if not self.training:
            results = self._add_baseline(systems, outputs, selected_atoms, results)
        return results

    def _predictions(
        self, nodes: Nodes, samples: Labels, outputs: dict[str, ModelOutput]
    ) -> dict[str, TensorMap]:
        """Requested outputs for each atom, without scales and baseline."""
        atoms: dict[str, TensorMap] = {}
        if "feature" in outputs:
            atoms["feature"] = atom_map(torch.cat(nodes.scalars, 1), samples, "feature")
        if "mtt::aux::charges" in outputs:
            atoms["mtt::aux::charges"] = atom_map(nodes.charges, samples, "charge")
        if "mtt::aux::potentials" in outputs:
            atoms["mtt::aux::potentials"] = atom_map(nodes.potentials, samples, "potential")
        for name in self.charge_targets:
            if name in outputs:
                atoms[name] = atom_map(nodes.charges[:, :1], samples, "charge")
        has_parts = "energy/short_range" in outputs or "energy/long_range" in outputs
        for name, readout in self.readouts.items():
            last_layer_name = self.last_layer_names[name]
            needs_parts = has_parts and name == "energy"
            if name in outputs or last_layer_name in outputs or needs_parts:
                features = readout.features(nodes.scalars)
                if last_layer_name in outputs:
                    atoms[last_layer_name] = atom_map(
                        torch.cat(features, 1), samples, "feature"
                    )
                if name in outputs or needs_parts:
                    atoms[name] = readout.target_map(features, nodes.spherical, samples)
                if needs_parts:
                    alone = self.network.without_potentials(nodes)
                    features = readout.features(alone.scalars)
                    short = readout.target_map(features, alone.spherical, samples)
                    atoms.update(energy_parts(atoms[name], short))
        return keep_requested(atoms, outputs)

    def _add_baseline(
        self,
        systems: list[System],
        outputs: dict[str, ModelOutput],
        selected_atoms: Optional[Labels],
        results: dict[str, TensorMap],
    ) -> dict[str, TensorMap]:
        """Add what the trainer removed from the data."""
        for additive_model in self.additive_models:
            wanted: dict[str, ModelOutput] = {}
            for name, output in outputs.items():
                if name in additive_model.outputs:
                    wanted[name] = output
            additions = additive_model(systems, wanted, selected_atoms)
            if "energy/short_range" in outputs:
                wanted = {"energy": outputs["energy/short_range"]}
                part = additive_model(systems, wanted, selected_atoms)
                additions["energy/short_range"] = part["energy"]
            for name, addition in additions.items():
                results[name] = add_matching_blocks(results[name], addition)
        return results

    def restart(
        self, dataset_info: DatasetInfo, model_hypers: Optional[dict[str, Any]] = None
    ) -> "LOREM":
        """Continue on data that may hold new targets and new atomic types.

        The network knows every species from the start; a new one gets its own baseline.
        """
        if model_hypers is not None:
            raise_if_hypers_mismatch(
                self.hypers,
                model_hypers,
                default_hypers=get_default_hypers(ARCHITECTURE)["model"],
            )
        merged = self.dataset_info.union(dataset_info)
        for name, target in merged.targets.items():
            if name not in self.dataset_info.targets:
                self._add_target(name, target)
        if set(merged.atomic_types) != set(self.atomic_types):
            add_atomic_types(self, merged.atomic_types)
        self.dataset_info: DatasetInfo = merged
        self.additive_models[0] = self.additive_models[0].restart(
            baseline_of(dataset_info, self.atomic_types, self.has_long_range).dataset_info
        )
        self.scaler = self.scaler.restart(dataset_info)
        # metatrain 2026.4.1 knows the new targets only, and then fails to fit their
        # scales to data that hold others, too.
        self.scaler.target_infos = dict(self.scaler.dataset_info.targets)
        return self

    def get_checkpoint(self) -> dict[str, Any]:
        model_state_dict = self.state_dict()
        model_state_dict["finetune_config"] = self.finetune_config
        return {
            "architecture_name": ARCHITECTURE,
            "model_ckpt_version": self.__checkpoint_version__,
            "metadata": self.metadata,
            "model_data": {
                "model_hypers": self.hypers,
                "dataset_info": self.dataset_info,
            },
            "epoch": None,
            "best_epoch": None,
            "model_state_dict": model_state_dict,
            "best_model_state_dict": model_state_dict,
        }

    @classmethod
    def load_checkpoint(
        cls,
        checkpoint: dict[str, Any],
        context: Literal["restart", "finetune", "export"],
    ) -> "LOREM":
        """Latest weights to ``restart``, best ones to ``finetune`` or ``export``."""
        best = context in ("finetune", "export")
        epoch = checkpoint["best_epoch" if best else "epoch"]
        logging.info(f"Using {'best' if best else 'latest'} model from epoch {epoch}")
        with checkpoints.told():
            key = "best_model_state_dict" if best else "model_state_dict"
            state = dict(checkpoint[key])
            finetune_config = state.pop("finetune_config", {})
            model = cls(**_constructor_arguments(checkpoint))
            model.finetune_config = finetune_config
            model.to(state["network.species.weight"].dtype).load_state_dict(state)
        model.additive_models[0].sync_tensor_maps()
        model.scaler.sync_tensor_maps()
        model.metadata = merge_metadata(model.metadata, checkpoint.get("metadata"))
        return model

    @classmethod
    def upgrade_checkpoint(cls, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return checkpoints.upgrade(
            checkpoint, "model_ckpt_version", cls.__checkpoint_version__
        )

    def export(self, metadata: Optional[ModelMetadata] = None) -> AtomisticModel:
        """A file that any metatomic engine runs.

        With long-range interactions, the interaction range is infinite: an engine must
        not cut the system into domains. The model is in evaluation mode from now on, as
        wrappers such as metatrain's `llpr` expect.

        Engines see float64, whatever the type of the network: positions, cells, vectors
        of pairs, sums over atoms and the baseline are in float64, everything between in
        the type of the network. float32 would round total energies of -1e6 eV to 0.06 eV,
        and positions far away from the origin.
        """
        dtype = self.network.species.weight.dtype
        if dtype not in self.__supported_dtypes__:
            raise ValueError(f"unsupported dtype {dtype}")
        check_weights(self, "in the model to export", "take an earlier checkpoint")
        self.eval()
        self.additive_models[0].weights_to(torch.device("cpu"), torch.float64)
        short_range = self.cutoff * (1 + len(self.network.messages))
        capabilities = ModelCapabilities(
            outputs=self.outputs,
            atomic_types=self.atomic_types,
            interaction_range=torch.inf if self.has_long_range else short_range,
            length_unit=self.dataset_info.length_unit,
            supported_devices=self.__supported_devices__,
            dtype="float64",
        )
        metadata = merge_metadata(self.metadata, metadata)
        model = with_fixed_tables(self, self.atomic_types)
        # `mtt eval` takes the type of the first parameter for systems and labels
        first = torch.empty(0, dtype=torch.float64)
        model.register_parameter("edge", torch.nn.Parameter(first, requires_grad=False))
        return AtomisticModel(model, metadata, capabilities)


def _constructor_arguments(checkpoint: dict[str, Any]) -> dict[str, Any]:
    data = checkpoint["model_data"]
    return {"hypers": data["model_hypers"], "dataset_info": data["dataset_info"]}
