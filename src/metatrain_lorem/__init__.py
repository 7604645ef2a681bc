"""LOREM, a long-range equivariant interatomic potential, as a metatrain architecture.

Options files select it with ``architecture: name: metatrain_lorem``. The network itself
is in :mod:`metatrain_lorem.network` and needs torch alone.

Importing this package imports nothing else: metatrain reads the hyper-parameters from
:mod:`metatrain_lorem.documentation` without loading the model.
"""

__version__ = "0.1.0"
