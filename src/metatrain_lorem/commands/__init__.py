"""Sub-commands of ``mtt-lorem``, one in each file."""
