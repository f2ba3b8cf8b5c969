"""`radserve engine …`: the words about engines. The work is `radserve_engines`', imported only when asked for."""

import argparse
import sys
from pathlib import Path
from typing import Any

from radserve_client.errors import RadserveError

_TARGET = "engine folder, address of a radserve server, or of an OpenAI-compatible endpoint (…/v1)"
_KEYS = "The API key is read from RADSERVE_API_KEY; for an address that ends in /v1, from OPENAI_API_KEY."


def add_engine_word(words: Any) -> None:
    """Add `engine` and what can follow it to the command's words."""
    engine = words.add_parser("engine", help="judge an engine: radserve engine eval --help")
    kinds = engine.add_subparsers(required=True, metavar="ACTION")
    evaluation = kinds.add_parser(
        "eval", help="score an engine, checkpoint or server on question sets", epilog=_KEYS
    )
    evaluation.set_defaults(run=_evaluate)
    add = evaluation.add_argument
    add("target", metavar="TARGET", help=_TARGET)
    add("--set", dest="sets", type=Path, action="append", required=True, metavar="FILE.jsonl")
    add("--out", type=Path, required=True, metavar="DIR", help="answers and report; run again to go on")
    add(
        "--training",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.jsonl",
        help="for the question-only guess",
    )
    add("--compare", metavar="OTHER", help="another target, or an earlier --out: how often the answer flips")
    add("--no-sensitivity", action="store_true", help="do not ask again with swapped and blank images")
    add("--limit", type=_positive, metavar="N", help="the first N questions of each set only")
    add("--max-tokens", type=_positive, metavar="N", help="default: the engine's own")
    add("--concurrency", type=_positive, default=8, metavar="N", help="questions in flight (default: 8)")
    add("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    add("--model", help="for an endpoint that offers several")
    add("--fresh", action="store_true", help="forget the answers that DIR holds")


def _evaluate(given: argparse.Namespace) -> None:
    from radserve_engines.errors import EngineError
    from radserve_engines.evaluation import Settings
    from radserve_engines.evaluation.command import CURVES, Wanted, run_evaluation
    from radserve_engines.evaluation.tables import terminal_table

    settings = Settings(
        limit=given.limit,
        max_tokens=given.max_tokens,
        concurrency=given.concurrency,
        sensitivity=not given.no_sensitivity,
        seed=given.seed,
    )
    wanted = Wanted(
        target=given.target,
        sets=tuple(given.sets),
        out=given.out,
        settings=settings,
        training=tuple(given.training),
        compare=given.compare,
        model=given.model,
        fresh=given.fresh,
    )
    try:
        report = run_evaluation(wanted)
    except EngineError as error:
        raise RadserveError(str(error)) from error
    print(terminal_table(report))
    if not (given.out / CURVES).is_file():
        print("no curves.png: pip install 'radserve[eval]', and run again", file=sys.stderr)
    print(f"\nwritten: {given.out}")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
