"""Small operations on tensors that several rooms share."""
