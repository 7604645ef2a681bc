"""Total charge and spin multiplicity, as part of the initial features of atoms."""

import torch

from .layers import linear


class Conditioning(torch.nn.Module):
    r"""What all atoms of a system know of its electronic state.

    .. math::

        c = W \, \mathrm{SiLU}(A [a_Q, b_m]) + b

    with one vector for each total charge ``Q`` and for each spin multiplicity ``m``, as in
    metatrain's PET. ``W`` and ``b`` are zero at first, so that a model starts as if it were
    not there.

    :param num_features: number of scalar features ``d``
    :param max_charge: largest absolute value of ``Q``
    :param max_spin_multiplicity: largest ``m``
    """

    def __init__(
        self, num_features: int, max_charge: int, max_spin_multiplicity: int
    ) -> None:
        super().__init__()
        self.max_charge = max_charge
        self.charge = torch.nn.Embedding(2 * max_charge + 1, num_features)
        self.spin_multiplicity = torch.nn.Embedding(max_spin_multiplicity, num_features)
        self.hidden = linear(2 * num_features, num_features)
        self.gate = torch.nn.Linear(num_features, num_features)
        torch.nn.init.zeros_(self.gate.weight)
        torch.nn.init.zeros_(self.gate.bias)

    def forward(self, states: torch.Tensor, systems: torch.Tensor) -> torch.Tensor:
        """Features for each atom, ``[N, d]``.

        :param states: charge and spin multiplicity of each system, ``[S, 2]``
        :param systems: system of each atom, ``[N]``
        """
        embedded = [
            self.charge(states[:, 0] + self.max_charge),
            self.spin_multiplicity(states[:, 1] - 1),
        ]
        hidden = torch.nn.functional.silu(self.hidden(torch.cat(embedded, dim=1)))
        return self.gate(hidden).index_select(0, systems)
