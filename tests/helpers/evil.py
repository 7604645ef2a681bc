"""Files that execute something when they are unpickled carelessly."""

import os
from pathlib import Path
from typing import Any


class Evil:
    """Makes a folder when a pickle that holds it is loaded.

    :param witness: that folder
    """

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)
