"""`radserve engine …`: the words about engines. The work is `radserve_engines`', imported only when asked for."""

import argparse
import sys
from pathlib import Path
from typing import Any

from radserve_client.build_command import add_build_words
from radserve_client.engine_errors import told_as
from radserve_client.errors import RadserveError
from radserve_client.numbers import positive
from radserve_client.plan_command import add_plan_word

_TARGET = "engine folder, address of a radserve server, or of an OpenAI-compatible endpoint (…/v1)"
_KEYS = "The API key is read from RADSERVE_API_KEY; for an address that ends in /v1, from OPENAI_API_KEY."


def add_engine_word(words: Any) -> None:
    """Add `engine` and what can follow it to the command's words."""
    engine = words.add_parser("engine", help="build, judge, sign and plan engines: radserve engine --help")
    kinds = engine.add_subparsers(required=True, metavar="ACTION")
    add_build_words(kinds)
    _add_evaluation(kinds)
    _add_signing(kinds)
    add_plan_word(kinds)


def _add_signing(kinds: Any) -> None:
    inspect = kinds.add_parser("inspect", help="what engines are and how they scored, side by side")
    inspect.set_defaults(run=_inspect)
    inspect.add_argument("engines", type=Path, nargs="+", metavar="ENGINE")
    inspect.add_argument("--markdown", action="store_true", help="the table as Markdown, for a report")
    key = kinds.add_parser("key", help="make a key to sign engines with")
    key.set_defaults(run=_key)
    key.add_argument("file", type=Path, metavar="FILE", help="private key; its public half goes to FILE.pub")
    sign = kinds.add_parser("sign", help="sign an engine whose files are as its manifest says")
    sign.set_defaults(run=_sign)
    sign.add_argument("engine", type=Path, metavar="ENGINE")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key")


def _add_evaluation(kinds: Any) -> None:
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
    add("--limit", type=positive, metavar="N", help="the first N questions of each set only")
    add("--max-tokens", type=positive, metavar="N", help="default: the engine's own")
    add("--concurrency", type=positive, default=8, metavar="N", help="questions in flight (default: 8)")
    add("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    add("--model", help="for an endpoint that offers several")
    add("--fresh", action="store_true", help="forget the answers that DIR holds")


def _evaluate(given: argparse.Namespace) -> None:
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
    with told_as():
        report = run_evaluation(wanted)
    print(terminal_table(report))
    if not (given.out / CURVES).is_file():
        print("no curves.png: pip install 'radserve[eval]', and run again", file=sys.stderr)
    print(f"\nwritten: {given.out}")


def _inspect(given: argparse.Namespace) -> None:
    from radserve_engines.building.tables import aligned_table, engine_rows, markdown_table, tell_engine
    from radserve_engines.manifest import read_manifest

    try:
        with told_as():
            engines = [(folder, read_manifest(folder)) for folder in given.engines]
            rows = engine_rows(engines)
            told = [line for engine in engines for line in tell_engine(engine)]
    except (AttributeError, KeyError, TypeError) as error:
        raise RadserveError(f"the gate in engine.json is none that a build wrote: {error!r}") from error
    if given.markdown:
        print(markdown_table(rows), end="")
        return
    print("\n".join(told))
    print(f"\n{aligned_table(rows)}")


def _key(given: argparse.Namespace) -> None:
    from radserve_engines.signing import make_key, public_path

    with told_as():
        fingerprint = make_key(given.file)
    print(f"private key  {given.file}   (keep it; whoever has it can sign engines)")
    print(f"public key   {public_path(given.file)}   (for radserve up --trusted-keys)")
    print(f"fingerprint  {fingerprint}")


def _sign(given: argparse.Namespace) -> None:
    from radserve_engines.acceptance import check_gate
    from radserve_engines.manifest import read_manifest
    from radserve_engines.signing import read_private_key, sign_engine

    with told_as():
        key = read_private_key(given.key)
        manifest = read_manifest(given.engine)
        check_gate(given.engine, manifest)
        signature = sign_engine(given.engine, key)
    print(f"{given.engine}: {manifest.digest} signed by key {signature.key}")
    if (status := manifest.gate.get("status")) != "passed":
        print(f"its gate has not passed (status: {status}): no server takes it", file=sys.stderr)
