"""`python -m radserve_bench.aiperf export` and `run`."""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from radserve_bench.aiperf.calling import Call, run_aiperf
from radserve_bench.aiperf.exporting import (
    DEFAULT_QUESTION,
    INPUT_FILE,
    Asked,
    export,
    name_and_policy,
    question_on,
    question_on_slices,
    questions_of,
)
from radserve_bench.aiperf.reading import figures, read_export
from radserve_bench.errors import BenchError
from radserve_client.numbers import positive
from radserve_engines.assets import demo_engine
from radserve_engines.errors import EngineError


def make_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(prog="radserve_bench.aiperf", description=__doc__)
    words = parser.add_subparsers(dest="word", required=True, metavar="WORD")
    exporting = words.add_parser("export", help="write questions and images, and print the command of aiperf")
    exporting.add_argument("files", nargs="*", type=Path, metavar="FILE", help="DICOM, PNG or JPEG")
    exporting.add_argument("--set", dest="questions", type=Path, help="JSONL question set instead of files")
    exporting.add_argument("--limit", type=positive, help="the set's first questions")
    exporting.add_argument("--question", default=DEFAULT_QUESTION, help="on each FILE (default: %(default)s)")
    exporting.add_argument("--slices", type=positive, default=64, help="CT slices if nothing is given (64)")
    running = words.add_parser("run", help="run aiperf on what was exported, and tell its figures")
    for word in (exporting, running):
        _add_call(word)
    return parser


def _add_call(word: argparse.ArgumentParser) -> None:
    add = word.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="where questions and images lie")
    add(
        "--policy", type=Path, metavar="ENGINE", help="engine folder that is asked (default: the demo engine)"
    )
    add("--url", default="http://127.0.0.1:8000", help="the gateway's address (default: %(default)s)")
    add("--model", help="its name there (default: the engine's)")
    add("--concurrency", type=positive, default=1, metavar="N", help="requests in flight (default: 1)")
    add("--requests", type=positive, default=64, metavar="N", help="that count (default: 64)")
    add("--tokens", type=positive, default=64, metavar="N", help="length of every answer (default: 64)")


def main(words: list[str] | None = None) -> int:
    """Export, or run; 1 with a message on stderr if it cannot be done."""
    given = make_parser().parse_args(words)
    try:
        return _export(given) if given.word == "export" else _run(given)
    except (BenchError, EngineError) as error:
        print(error, file=sys.stderr)
        return 1


def _export(given: argparse.Namespace) -> int:
    _, policy = name_and_policy(given.policy or demo_engine())
    lines = export(_asked(given), policy, given.out)
    print(f"{lines} questions in {given.out / INPUT_FILE}\n\n{_call(given).shell()}")
    return 0


def _asked(given: argparse.Namespace) -> Iterable[Asked]:
    if given.questions and given.files:
        raise BenchError("give either --set or files")
    if given.questions:
        return questions_of(given.questions, given.limit)
    if given.files:
        return question_on(given.files, given.question)
    return question_on_slices(given.slices, given.question)


def _run(given: argparse.Namespace) -> int:
    call = _call(given)
    if not call.input_file.exists():
        raise BenchError(f"{call.input_file} is not there: `export` writes it")
    run_aiperf(call)
    told = figures(read_export(call.out))
    for name, value in told.items():
        print(f"{name:<20} {value}")
    print(json.dumps(told))
    return 0


def _call(given: argparse.Namespace) -> Call:
    engine = given.policy or demo_engine()
    name, _ = name_and_policy(engine)
    return Call(
        url=given.url,
        model=given.model or name,
        input_file=given.out / INPUT_FILE,
        out=given.out / "aiperf",
        tokenizer=engine.resolve(),
        concurrency=given.concurrency,
        requests=given.requests,
        warm_up=2 * given.concurrency,
        tokens=given.tokens,
    )


if __name__ == "__main__":
    sys.exit(main())
