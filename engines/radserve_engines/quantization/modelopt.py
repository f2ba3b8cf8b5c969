"""NVIDIA ModelOpt 0.47 on a CPU: quantize and export, and what each family needs to get through it."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from radserve_engines.errors import BuildFailed

_LOG = logging.getLogger(__name__)


def quantize_model(model: Any, recipe: Mapping[str, Any], forward: Callable[[Any], None]) -> Any:
    """`mtq.quantize`, calibrated by `forward`. Raises BuildFailed with ModelOpt's own words."""
    with quiet():
        import modelopt.torch.quantization as mtq

        _register_bloom()
        try:
            return mtq.quantize(model, dict(recipe), forward)
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
            raise BuildFailed(f"ModelOpt cannot quantize this {type(model).__name__}: {error}") from error


def export_model(model: Any, architecture: str, inputs: Mapping[str, Any], out: Path) -> None:
    """`export_hf_checkpoint`. Raises BuildFailed with ModelOpt's own words.

    ModelOpt finds layers that share an input by a forward pass on two tokens of text. BLIP-2 and others refuse text
    alone; so the pass gets `inputs`, one real sample, by the hook that ModelOpt has for it. That hook is not asked
    where the configuration says encoder-decoder, so it does not say so for the time.
    """
    with quiet():
        from modelopt.torch.export import export_hf_checkpoint

        model.get_dummy_inputs = lambda: dict(inputs)
        twofold = bool(getattr(model.config, "is_encoder_decoder", False))
        try:
            model.config.is_encoder_decoder = False
            model.config.architectures = [architecture]
            export_hf_checkpoint(model, export_dir=out)
        except (RuntimeError, ValueError, TypeError, AssertionError, NotImplementedError) as error:
            raise BuildFailed(f"ModelOpt cannot export this {type(model).__name__}: {error}") from error
        finally:
            model.config.is_encoder_decoder = twofold
            del model.get_dummy_inputs


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """ModelOpt prints and warns about what is checked here afterwards; its words go to the log."""
    said = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(said):
            warnings.simplefilter("ignore")
            yield
    finally:
        for line in said.getvalue().splitlines():
            _LOG.debug("modelopt: %s", line)


def _register_bloom() -> None:
    """ModelOpt rewrites attention for KV quantization from its source, and stumbles over BLOOM's `baddbmm`.

    A class that is registered already is left alone; this one adds nothing, so a BLOOM has no quantized KV cache.
    """
    from modelopt.torch.quantization.conversion import register
    from modelopt.torch.quantization.nn import QuantModule, QuantModuleRegistry
    from transformers.models.bloom.modeling_bloom import BloomAttention

    class PlainBloomAttention(QuantModule):  # type: ignore[misc]
        def _setup(self) -> None:
            """No quantizers."""

    if QuantModuleRegistry.get(BloomAttention) is None:
        register(BloomAttention, PlainBloomAttention)
