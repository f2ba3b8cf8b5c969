"""Tensor names as the model class has them: what training wrappers put around a model goes from its exports."""

from collections.abc import Iterable, Mapping

_WRAPPERS = frozenset({"module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod"})
_OWN = {"model.model", "model.lm_head", "model.qformer", "model.query_tokens"}
_INNER = ("model.language_model.model.", "model.language_model.lm_head.")


def plain_names(names: Iterable[str]) -> Mapping[str, str]:
    """Each stored name with its plain one.

    FSDP, DDP, activation checkpointing and torch.compile leave a part of their own in the name. A class that holds
    the model as `self.model` adds a first "model." to all: it shows where what never lies below one does.
    """
    plain = {name: _without_wrappers(name) for name in names}
    while plain and _is_held(plain.values()):
        plain = {name: short.removeprefix("model.") for name, short in plain.items()}
    return plain


def _without_wrappers(name: str) -> str:
    parts = name.split(".")
    # A LoRA's or a tower's own child may be called "module" further in; wrappers stand before it.
    return ".".join(part for part in parts if part not in _WRAPPERS)


def _is_held(names: Iterable[str]) -> bool:
    listed = list(names)
    held = all(name.startswith("model.") for name in listed)
    return held and any(_is_own(name) for name in listed)


def _is_own(name: str) -> bool:
    return ".".join(name.split(".")[:2]) in _OWN or name.startswith(_INNER)
