"""How models are trained: data, baseline, objective and optimizers."""
