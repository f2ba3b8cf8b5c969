"""From token ids to text, as it streams: whole characters only, and never past a stop string."""

from dataclasses import dataclass, field

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


@dataclass(slots=True)
class TextStream:
    """The text of one answer. Holds back bytes of an unfinished character and what may begin a stop string."""

    tokenizer: Tokenizer
    stops: tuple[str, ...] = ()
    stopped: bool = False
    _decoder: DecodeStream = field(default_factory=lambda: DecodeStream(skip_special_tokens=True))
    _held: str = ""

    def push(self, token_ids: list[int]) -> str:
        """The text that these tokens release; sets `stopped` once a stop string is complete, leaving it out."""
        for token_id in token_ids:
            self._held += self._decoder.step(self.tokenizer, token_id) or ""
        return self._release(final=False)

    def finish(self) -> str:
        """What was held back and turned out not to be a stop string."""
        return self._release(final=True)

    def _release(self, *, final: bool) -> str:
        if self.stopped:
            return ""
        found = [at for stop in self.stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped, keep = True, min(found)
        else:
            keep = len(self._held) if final else len(self._held) - self._could_become_stop()
        released, self._held = self._held[:keep], self._held[keep:]
        return released

    def _could_become_stop(self) -> int:
        """The longest tail that is the beginning of a stop string."""
        longest = max((len(stop) - 1 for stop in self.stops), default=0)
        for size in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self.stops):
                return size
        return 0
