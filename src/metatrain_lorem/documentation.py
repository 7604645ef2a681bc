"""
LOREM
=====

LOREM (Learning Long-Range Representations with Equivariant Messages,
`arXiv:2507.19382 <https://arxiv.org/abs/2507.19382>`_) is an interatomic potential whose
atoms exchange *equivariant* charges through Ewald summation. Electrostatics, dispersion,
charge transfer and orientation thereby act beyond the cutoff of the short-range part.

Additional outputs
------------------

In addition to the targets of the data set, every model offers

- ``feature``: scalar features of the atoms, one group for each stage of the network;
- :ref:`mtt-aux-target-last-layer-features`: inputs of a target's last, linear layers;

and, with long-range interactions,

- ``mtt::aux::charges`` and ``mtt::aux::potentials``: the charges that atoms exchange and
  the potentials they feel; first the scalar column, then the spherical components
  ``(l, m)`` with ``m = -l ... l``;
- ``energy/short_range`` and ``energy/long_range``, if there is a target ``energy``: the
  energy of atoms that do not feel the potentials, and the rest.

A target ``charge``, or a variant such as ``charge/mbis``, of one scalar for each atom is
the scalar charge itself: it is trained on the labels, without a baseline.

{{SECTION_DEFAULT_HYPERS}}

{{SECTION_MODEL_HYPERS}}

with the following definitions needed to fully understand some of the parameters:

.. autoclass:: {{architecture_path}}.documentation.LongRangeHypers
    :members:
    :undoc-members:
"""

from typing import Literal

from metatrain.composition.documentation import FixedCompositionWeights
from metatrain.scaler.documentation import FixedScalerWeights
from metatrain.utils.hypers import init_with_defaults
from metatrain.utils.loss import LossSpecification
from typing_extensions import NotRequired, TypedDict


class LongRangeHypers(TypedDict):
    """Hyper-parameters of the long-range interactions."""

    enable: bool = True
    """Whether atoms exchange charges. Without, the model is a short-range model."""
    max_degree: int = 2
    """Highest degree of the charges, at most the model's ``max_degree``. Degree 0 has
    scalar charges only, the invariant baseline of the paper. (:math:`L_\\mathrm{LR}`)"""
    smearing: float | None = None
    """Width of Gaussian charges that split the Ewald sum as in the paper, in the length
    unit of the data set. Their real-space sum neglects what is beyond the cutoff, which
    makes a step in the energy when a pair crosses it: a relative 6e-5 for a quarter of the
    cutoff, the paper's choice, 6e-7 for a fifth. By default, charges are smeared such that
    both sums end smoothly and without this error. (:math:`\\sigma`)"""
    accuracy: float | Literal["reference"] = 1e-6
    """Largest error of the Coulomb sums, root mean square, of potentials and of forces, in
    the units of ``metatrain_lorem.coulomb.truncation``; with ``smearing``, of their
    reciprocal part. ``reference`` takes the Gaussian charges, the k-vectors and the slab
    vacuum of the ``lorem-jax`` code, and the rounding of its radial functions."""
    fix_total_charge: bool = False
    """Whether the scalar charges of a structure add up to its total charge, which is zero
    without ``system_conditioning``. What is missing is shared evenly among the atoms."""


class ModelHypers(TypedDict):
    """Hyper-parameters of the LOREM model, with the symbols of the paper."""

    cutoff: float = 5.0
    """Radius of the neighborhoods, in the length unit of the data set.
    (:math:`r_\\mathrm{c}`)"""
    max_degree: int = 6
    """Highest degree of the spherical features. (:math:`L`)"""
    num_features: int = 128
    """Number of scalar features. (:math:`d`)"""
    num_spherical_features: int = 8
    """Number of spherical features of each degree. (:math:`c`)"""
    num_radial: int = 32
    """Number of radial functions. (:math:`K`)"""
    radial_functions: Literal["smooth", "paper"] = "smooth"
    """How they fall to zero at the cutoff. With those of the ``paper``, forces have a kink
    where a pair crosses it; with ``smooth`` ones, second derivatives of forces are
    continuous."""
    num_species_features: int = 8
    """Length of the vector that describes a species."""
    num_message_passing: int = 0
    """Number of message-passing steps within the cutoff."""
    equivariant_message_passing: bool = True
    """Whether these steps exchange spherical features, besides scalar ones."""
    initialize_node_features: bool = True
    """Whether the scalar features of an atom start from its species, or from zero."""
    norms: Literal["smooth", "paper", "signed"] = "smooth"
    """Invariants that carry spherical features into the scalar ones. ``smooth`` ones have
    all derivatives everywhere. Those of the ``paper`` and of ``lorem-jax``, the lengths of
    the features, have a cusp where a feature vanishes, which symmetry makes it do in the
    minima of molecules and crystals: relaxations, vibrations, elastic constants and phonons
    come out wrong there. ``signed`` lies between the two, for models of earlier versions:
    degree 0 has no cusp, all others do."""
    zero_sum_targets: list[str] = []
    """Cartesian targets given per atom that add up to zero in each structure. This is the
    acoustic sum rule of Born effective charges in a neutral system. The mean of the
    predictions of a structure is subtracted from them."""
    system_conditioning: bool = False
    """Whether predictions depend on the total charge and the spin multiplicity of a
    structure: ``charge`` and ``spin_multiplicity`` in the ``extra_data`` of the data set,
    and in the ``info`` of ASE's structures. Where they are missing, a structure is neutral
    and a singlet."""
    max_charge: int = 10
    """Largest absolute value of the total charge, a whole number."""
    max_spin_multiplicity: int = 10
    """Largest spin multiplicity, a whole number."""
    long_range: LongRangeHypers = init_with_defaults(LongRangeHypers)
    """Interactions beyond the cutoff."""


class FinetuneHypers(TypedDict):
    """Hyper-parameters of fine-tuning, see :ref:`label_fine_tuning_concept`."""

    read_from: str | None = None
    """Path to the checkpoint of a pre-trained model. ``null`` trains from scratch."""
    method: Literal["full"] = "full"
    """All parameters are trained."""
    inherit_heads: dict[str, str] = {}
    """For new targets (keys), the target (value) whose readout they start from. By
    default, the readouts of new targets start at random."""


class TrainerHypers(TypedDict):
    """Hyper-parameters of the training of LOREM models.

    The defaults of ``optimizer``, ``schedule`` and their parameters are those of
    lorem-jax.
    """

    distributed: NotRequired[bool]
    """Whether several processes train together, one per GPU. By default, they do if
    SLURM started more than one."""
    distributed_port: int = 39591
    """Port of the communication among processes."""
    batch_size: int = 4
    """Number of structures per optimizer step (and process). Small molecules are learned
    in 0.6 of the time per epoch with 16 instead of four, see ``docs/training.md``."""
    max_atoms_per_batch: int | None = None
    """If set, batches hold as many structures as have at most this number of atoms in
    all, instead of ``batch_size`` structures. Larger structures are left out. Which
    structures share a batch is then the same in all epochs."""
    min_atoms_per_batch: int = 0
    """With ``max_atoms_per_batch``: batches of fewer atoms are left out."""
    num_epochs: int = 2000
    """Number of times that each training structure is seen."""
    optimizer: Literal["Adam", "AdamW", "LAMB", "Muon"] = "Adam"
    """Optimizer. ``LAMB`` scales the update of each array of weights to their norm (that
    of ``optax``; the paper trains cumulenes with it). ``Muon`` orthogonalizes the updates
    of matrices and leaves all other parameters to ``AdamW``; it requires torch 2.9."""
    learning_rate: float = 1e-3
    """Initial learning rate, and the highest one."""
    learning_rate_final: float = 1e-6
    """Learning rate at the end of the training, except if it is ``constant``."""
    schedule: Literal["linear", "exponential", "warmup_cosine", "constant"] = "linear"
    """How the learning rate changes with each optimizer step: from ``learning_rate`` to
    ``learning_rate_final`` on a straight line, exponentially, or on half a period of a
    cosine."""
    warmup_fraction: float = 0.005
    """Share of the optimizer steps before the decay starts. Meanwhile ``warmup_cosine``
    rises from ``learning_rate_final`` to ``learning_rate``; all other schedules stay at
    ``learning_rate`` (lorem-jax: ``start_decay_after``, 10 of 2000 epochs)."""
    warmup_epochs: int | None = None
    """Number of epochs before the decay starts, instead of ``warmup_fraction``."""
    weight_decay: float = 0.0
    """Weight decay of ``AdamW``, ``LAMB`` and ``Muon``; for ``Adam``, an L2 penalty."""
    grad_clip_norm: float | None = None
    """Highest norm of the gradients of all parameters; longer ones are scaled down to
    it. By default, gradients are not clipped."""
    grad_clip_value: float | None = None
    """Largest absolute value of each component of the gradients; beyond, it is replaced
    by this value (lorem-jax: ``gradient_clip``). By default, gradients are not
    clipped. If both are given, the norm is limited first."""
    loss: str | dict[str, LossSpecification | str] = "mse"
    """Loss function, see :ref:`loss-functions`.

    The default is that of lorem-jax up to a factor, which Adam does not see: the mean
    squared error of the energies per atom (over structures), plus that of the forces
    (over atoms and directions), plus, if the data have them, that of the virials per
    atom (over structures and components). The weights of lorem-jax themselves:

    .. code-block:: yaml

        loss:
          energy:
            type: mse
            weight: 0.5
            forces:
              type: mse
              weight: 0.5

    For ``scale_by_variance`` of lorem-jax, divide these weights by the variances among
    the validation structures: of the energies per atom, after the baseline, and of the
    components of the forces.

    ``scale_targets`` divides the errors of energies, forces and virials by the same
    number, so that their ratios stay.
    """
    atomic_baseline: FixedCompositionWeights | str = {}
    """Energy of each atomic type, taken off the targets; by default, a linear fit.

    Either ``{target: {atomic type: value}}`` with all atomic types, or
    ``{target: value}`` with one value for all of them, where targets that are left out
    are fitted; or the path to the ``.ckpt`` file of a composition model. For instance
    ``{"energy": {1: -13.6, 6: -1029.5}}``. The model adds the baseline to its
    predictions.

    A trained model keeps its baseline. New atomic types get theirs by a fit to the new
    data in which the values of all others are fixed, or from here.
    """
    scale_targets: bool = False
    """Whether to divide each target by its root mean square (for energies: per atom,
    after the baseline) while the model learns; predictions are multiplied by it. See
    :ref:`scale-targets`.

    Not of use in eV and Angstrom: energies per atom of similar structures differ by few
    meV, and forces divided by the same number are large. Water and cumulenes are
    learned faster without. Use it where the units make the values of a target very
    large or very small."""
    fixed_scaling_weights: FixedScalerWeights | str = {}
    """With ``scale_targets``, numbers to divide by instead: ``{target: value}``,
    ``{target: {atomic type: value}}``, or the path to the ``.ckpt`` file of a scaler,
    which requires such a path for ``atomic_baseline``, too."""
    per_structure_targets: list[str] = []
    """Targets whose loss and errors are those of a structure, not divided by its number
    of atoms."""
    num_workers: int | None = None
    """Number of processes that read and prepare data sets on disk; by default, as many
    as the processors allow. Structures in memory are prepared once, without them."""
    log_interval: int = 1
    """Number of epochs between lines in the log."""
    log_mae: bool = True
    """Whether to log mean absolute errors besides root mean square errors."""
    log_separate_blocks: bool = False
    """Whether to log an error for each block of a target."""
    checkpoint_interval: int = 100
    """Number of epochs between checkpoints."""
    best_model_metric: Literal["rmse_prod", "mae_prod", "r2_sum", "loss"] = "mae_prod"
    """Error of the validation structures that the best model minimizes: the product of
    the errors of all targets and their gradients, or the loss. ``r2_sum`` maximizes the
    sum of their coefficients of determination, like lorem-jax."""
    finetune: FinetuneHypers = init_with_defaults(FinetuneHypers)
    """Starting from a pre-trained model."""
