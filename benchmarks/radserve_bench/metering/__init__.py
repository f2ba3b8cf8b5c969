"""What it costs: processor, memory, GPU power, and the limits of the machine."""
