"""Runtimes: what turns a question into tokens. All of them speak the protocol in `protocol`."""

from radserve_engines.runtime.protocol import Handle, Load, Runtime, Sink

__all__ = ["Handle", "Load", "Runtime", "Sink"]
