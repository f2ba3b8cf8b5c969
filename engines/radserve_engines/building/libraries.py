"""Libraries that would talk into a build's own progress."""


def calm_libraries() -> None:
    """No progress bars or advice from transformers; its errors are still raised."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
