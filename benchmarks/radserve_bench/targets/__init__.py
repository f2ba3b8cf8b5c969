"""Who can be asked: a radserve server, Triton, an OpenAI-compatible endpoint, PyTorch."""
