"""What helps to run exported models in simulation engines."""
