"""The gateway: HTTP in front of the engine. Start it with `python -m radserve_server`."""
