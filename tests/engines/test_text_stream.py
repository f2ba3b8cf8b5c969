"""Streamed text is whole characters, adds up to the whole text, and never shows a stop string."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from radserve_engines.text_stream import TextStream


@pytest.fixture(scope="module")
def tokenizer(engine_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(engine_folder / "tokenizer.json"))


@pytest.mark.parametrize("text", ["a small pleural effusion", "Größe 3 cm ☃ 心", "  two  spaces"])
def test_pieces_add_up_and_hold_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    stream = TextStream(tokenizer)
    pieces = [stream.push([token]) for token in tokenizer.encode(text).ids] + [stream.finish()]
    assert "".join(pieces) == text
    assert not any("�" in piece for piece in pieces)


def test_text_ends_before_a_stop_string_that_spans_tokens(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, stops=("effusion seen",))
    pieces = []
    for token in tokenizer.encode("a pleural effusion seen here").ids:
        pieces.append(stream.push([token]))
        if stream.stopped:
            break
    assert stream.stopped
    assert "".join(pieces) == "a pleural "
    assert stream.finish() == ""


def test_what_only_began_like_a_stop_string_comes_out_in_the_end(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, stops=("effusions",))
    pieces = [stream.push([token]) for token in tokenizer.encode("an effusion").ids]
    assert "".join(pieces) != "an effusion"
    assert "".join(pieces) + stream.finish() == "an effusion"
