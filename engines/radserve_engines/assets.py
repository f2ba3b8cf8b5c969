"""Where the files that are not Python lie: beside the package in a wheel, in the checkout otherwise."""

from pathlib import Path

from radserve_engines.errors import EngineFailed

_PACKAGED = Path(__file__).parent / "data"
_CHECKOUT = Path(__file__).parents[2]


def model_repo() -> Path:
    """The Triton model repository. Raises EngineFailed when this installation has none."""
    return _first(_PACKAGED / "model_repo", _CHECKOUT / "model_repo")


def demo_engine() -> Path:
    """The demonstration engine; not for clinical use. Raises EngineFailed when this installation has none."""
    return _first(_PACKAGED / "demo-engine", _CHECKOUT / "models" / "radserve-demo" / "openvino-int8")


def demo_checkpoint() -> Path:
    """The checkpoint that the demonstration engine was made from; in a checkout only. Raises EngineFailed."""
    return _first(_CHECKOUT / "models" / "radserve-demo" / "checkpoint")


def demo_key() -> Path:
    """The public key of the demonstration engine, whose private half signed nothing else and is gone."""
    return _first(_PACKAGED / "demo-key.pub", _CHECKOUT / "models" / "radserve-demo" / "signing-key.pub")


def _first(*places: Path) -> Path:
    for place in places:
        if place.exists():
            return place
    raise EngineFailed(
        f"{places[0].name} is not part of this installation: install the wheel, or run from a checkout"
    )
