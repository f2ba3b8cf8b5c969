"""Load, latency and throughput: the server against a PyTorch baseline of the same checkpoint."""
