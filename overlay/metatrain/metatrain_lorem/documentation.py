"""Hyper-parameters of LOREM, re-exported for ``mtt train``."""

from metatrain_lorem import documentation
from metatrain_lorem.documentation import ModelHypers, TrainerHypers


__all__ = ["ModelHypers", "TrainerHypers"]

__doc__ = documentation.__doc__
