"""Puts load on a target: closed, so many at once, or open, so many a second."""
