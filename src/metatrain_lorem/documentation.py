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
  ``(l, m)`` with ``m = -l ... l``.

{{SECTION_DEFAULT_HYPERS}}

{{SECTION_MODEL_HYPERS}}

with the following definitions needed to fully understand some of the parameters:

.. autoclass:: {{architecture_path}}.documentation.LongRangeHypers
    :members:
    :undoc-members:
"""

from typing import Literal, Optional

from metatrain.utils.hypers import init_with_defaults
from typing_extensions import TypedDict

from .documentation_trainer import TrainerHypers as TrainerHypers


class LongRangeHypers(TypedDict):
    """Hyper-parameters of the long-range interactions."""

    enable: bool = True
    """Whether atoms exchange charges. Without, the model is a short-range model."""
    max_degree: int = 2
    """Highest degree of the charges, at most the model's ``max_degree``. Degree 0 has
    scalar charges only, the invariant baseline of the paper. (:math:`L_\\mathrm{LR}`)"""
    smearing: Optional[float] = None
    """Width of the Gaussian charges that split the Ewald sum, in the length unit of the
    data set. By default a quarter of the cutoff. A smaller value reduces the error of the
    real-space sum (6e-5 by default, 6e-7 for a fifth of the cutoff) and needs more
    k-vectors. (:math:`\\sigma`)"""
    accuracy: float | Literal["reference"] = 1e-6
    """Size of the largest neglected reciprocal-space term, relative to the first.
    ``reference`` takes the k-vectors and the slab vacuum of the ``lorem-jax`` code."""


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
    num_species_features: int = 8
    """Length of the vector that describes a species."""
    num_message_passing: int = 0
    """Number of message-passing steps within the cutoff."""
    equivariant_message_passing: bool = True
    """Whether these steps exchange spherical features, besides scalar ones."""
    initialize_node_features: bool = True
    """Whether the scalar features of an atom start from its species, or from zero."""
    long_range: LongRangeHypers = init_with_defaults(LongRangeHypers)
    """Interactions beyond the cutoff."""
