"""How many gateway cores and GPUs a hospital needs."""
