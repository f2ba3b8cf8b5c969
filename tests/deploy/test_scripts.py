"""The shell scripts: they parse, start Triton as TensorRT-LLM wants it, and say only words that radserve knows."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from radserve_client import cli
from radserve_engines.trtllm import LlmSettings, build_llm_args, launch_command, write_llm_args
from radserve_server.settings import load_settings

SCRIPTS = ("start-triton.sh", "prepare.sh", "verify-gpu.sh", "verification-steps.sh")


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_can_read_it(deploy, name):
    subprocess.run(["bash", "-n", deploy / name], check=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing(deploy, name):
    run = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "-x", f"deploy/{name}"],
        cwd=deploy.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


@pytest.fixture
def start_triton(deploy, tmp_path):
    """The command for an engine with these llm_args, or without any; `MPI` is what a launcher has set already."""

    def show(settings=None, **environment):
        (tmp_path / "engine.json").write_text("{}")
        if settings:
            write_llm_args(tmp_path, build_llm_args(settings))
        given = {**os.environ, "RADSERVE_ENGINE": str(tmp_path), "SHOW_COMMAND": "1", **environment}
        run = subprocess.run(
            [deploy / "start-triton.sh"], env=given, capture_output=True, text=True, check=True
        )
        return shlex.split(run.stdout)

    return show


@pytest.mark.parametrize("gpus", [1, 2, 8])
def test_triton_is_launched_as_the_engine_side_says(start_triton, gpus):
    command = start_triton(LlmSettings(tensor_parallel=gpus))
    assert command == launch_command(command[command.index("tritonserver") :], gpus)


def test_no_ranks_are_added_to_those_of_slurm_or_mpirun(start_triton):
    for variable in ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"):
        command = start_triton(LlmSettings(tensor_parallel=8), **{variable: "16"})
        assert command[:2] == ["trtllm-llmapi-launch", "tritonserver"]


def test_an_engine_that_is_not_of_the_llm_api_needs_no_launcher(start_triton):
    assert start_triton()[0] == "tritonserver"


def test_triton_takes_the_gateways_pings(start_triton):
    """As radserve_server.triton asks for."""
    wanted = {"--grpc-http2-max-ping-strikes=0", "--grpc-keepalive-permit-without-calls=1"}
    assert wanted <= set(start_triton())


def test_a_folder_without_an_engine_is_told_at_once(deploy, tmp_path):
    given = {**os.environ, "RADSERVE_ENGINE": str(tmp_path)}
    run = subprocess.run([deploy / "start-triton.sh"], env=given, capture_output=True, text=True)
    assert run.returncode == 2 and str(tmp_path) in run.stderr and "engine.json" in run.stderr


@pytest.fixture(scope="module")
def plan(deploy):
    """Every command that verify-gpu.sh would run, as words."""
    command = [
        deploy / "verify-gpu.sh",
        "--dry-run",
        "--calibration",
        "/d/train.jsonl",
        "--gate",
        "/d/val.jsonl",
    ]
    options = [
        "--adapter",
        "/d/lora",
        "--precision",
        "fp8",
        "--precision",
        "int8",
        "--limit",
        "50",
        "--out",
        "/o ut",
    ]
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    return [shlex.split(line) for line in run.stdout.splitlines() if line.startswith("   ")]


def said_to(plan, module):
    return [words[3:] for words in plan if words[1:3] == ["-m", module]]


def test_the_verification_says_only_words_that_radserve_knows(plan):
    said = said_to(plan, "radserve_client")
    assert len(said) == 1 + 3 * 3
    for words in said:
        _, rest = cli._parser().parse_known_args(words)
        assert not rest, words


def test_the_verification_starts_a_gateway_that_takes_its_options(plan):
    (options,) = {tuple(words) for words in said_to(plan, "radserve_server")}
    settings = load_settings(list(options), {})
    assert settings.host == "127.0.0.1" and settings.triton_url == "127.0.0.1:18001"


def test_the_verifications_benchmarks_take_their_options(plan):
    from radserve_bench import torch_device

    said = said_to(plan, torch_device.__name__)
    assert said
    for words in said:
        torch_device.make_parser().parse_args(words)


def test_each_precision_is_built_judged_served_asked_and_put_under_load(plan):
    built = [
        words[words.index("--precision") + 1]
        for words in said_to(plan, "radserve_client")
        if "build" in words
    ]
    assert built == ["bf16", "fp8", "int8"]
    assert sum(words[0] == "bench" for words in said_to(plan, "radserve_client")) == 3
    assert sum(words[0] == "curl" and words[-1].endswith("/v1/vqa") for words in plan) == 3


def test_the_pytorch_part_alone_measures_models_of_true_size(deploy):
    command = [deploy / "verify-gpu.sh", "--dry-run", "--torch-only"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    plan = [shlex.split(line) for line in run.stdout.splitlines() if line.startswith("   ")]
    (said,) = [words for words in plan if words[1].endswith("benchmarks/gpu.py")]
    assert Path(said[1]).is_file() and said[2:] == ["--out", str(deploy.parent / "benchmarks/results")]


def test_a_wrong_option_is_refused_before_anything_runs(deploy):
    for wrong in (["--precison", "fp8"], ["--gate"], ["--gate", "a.jsonl"]):
        run = subprocess.run([deploy / "verify-gpu.sh", *wrong], capture_output=True, text=True)
        assert run.returncode == 2 and run.stderr
