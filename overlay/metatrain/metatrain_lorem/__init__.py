"""Registration of :mod:`metatrain_lorem` as an architecture of metatrain.

metatrain looks for architectures in its own folder only, so this file is installed
there. It belongs to the distribution ``metatrain-lorem`` and holds re-exports alone.
"""

from metatrain_lorem.model import LOREM
from metatrain_lorem.trainer import Trainer


__model__ = LOREM
__trainer__ = Trainer

__authors__ = [("metatrain-lorem developers", "")]
__maintainers__ = __authors__
