"""The network on plain tensors: torch and e3nn are all it needs."""

from .lorem import Network, Nodes, Plan


__all__ = ["Network", "Nodes", "Plan"]
