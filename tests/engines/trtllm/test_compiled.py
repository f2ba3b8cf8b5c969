"""The compiled path: command lines of which every option exists, refusals before any work, and runs that resume.

The tools here are small programs of ours in the place of NVIDIA's: they write what those would, or fail.
"""

import importlib.util
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from radserve_engines.errors import BuildFailed, BuildRefused
from radserve_engines.families import family_named
from radserve_engines.precision import precision_named
from radserve_engines.trtllm import (
    CompileSettings,
    compile_engine,
    launch_command,
    plan_commands,
    tools_missing,
)
from radserve_engines.trtllm import commands as running
from radserve_engines.trtllm.commands import Command
from radserve_engines.trtllm.language_models import cut_out_language_model
from radserve_engines.trtllm.launcher import prepare_environment

SETTINGS = CompileSettings(image_tokens=256, images=1, max_batch_size=4, max_seq_len=2048)
_TEXT = {
    "qwen2_vl": "qwen2_vl_text",
    "llava": "llama",
    "llava_next": "mistral",
    "llava_onevision": "qwen2",
    "blip-2": "opt",
}
Checkpoint = Callable[..., Path]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    def make(family: str, text: str = "", **more: object) -> Path:
        folder = tmp_path / "checkpoint"
        folder.mkdir(exist_ok=True)
        config = {"model_type": family, "text_config": {"model_type": text or _TEXT[family]}, **more}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "tokenizer.json").write_text("{}")
        return folder

    return make


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs in the places of TensorRT-LLM's; returns the folder of the examples. Each run adds a line to `ran`."""
    examples, programs = tmp_path / "examples", tmp_path / "bin"
    script = (
        "import pathlib, sys\n"
        "given = dict(zip(sys.argv[1:], sys.argv[2:]))\n"
        "out = pathlib.Path(given['--output_dir'])\n"
        "out.mkdir(parents=True, exist_ok=True)\n"
        f"open({str(tmp_path / 'ran')!r}, 'a').write(pathlib.Path(sys.argv[0]).name + chr(10))\n"
        "print('building', out.name)\n"
        f"if (pathlib.Path({str(tmp_path)!r}) / ('fail-' + out.name)).exists():\n"
        "    sys.exit('CUDA out of memory')\n"
        "for name in ('config.json', 'rank0.engine', 'model.engine'):\n"
        "    (out / name).write_text('made')\n"
    )
    for name in (
        "models/core/qwen/convert_checkpoint.py",
        "models/core/multimodal/build_multimodal_engine.py",
    ):
        (examples / name).parent.mkdir(parents=True)
        (examples / name).write_text(script)
    programs.mkdir()
    (programs / "trtllm-build").write_text(f"#!/usr/bin/env python3\n{script}")
    (programs / "trtllm-build").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    found = importlib.util.find_spec
    spec = importlib.util.spec_from_loader("tensorrt_llm", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: spec if name == "tensorrt_llm" else found(name)
    )
    return examples


def lines(commands: list[Command]) -> list[list[str]]:
    return [command.line(Path("/examples")) for command in commands]


@pytest.mark.parametrize("family", sorted(_TEXT))
@pytest.mark.parametrize("precision", ["bf16", "int8", "int8-sq", "fp8", "int4-awq", "w4a8-awq"])
def test_every_option_of_every_command_exists(
    checkpoint: Checkpoint, tmp_path: Path, family: str, precision: str
) -> None:
    """`Command` refuses an option, a type or a value that the tool's argparse does not take."""
    folder, kind = checkpoint(family), precision_named(precision)
    if family == "blip-2" and precision not in ("bf16", "int8"):
        with pytest.raises(BuildRefused, match="opt"):
            plan_commands(folder, tmp_path, family_named(family), kind, SETTINGS)
        return
    commands = plan_commands(folder, tmp_path, family_named(family), kind, SETTINGS)
    assert [c.tool.rpartition("/")[2] for c in commands][1:] == ["trtllm-build", "build_multimodal_engine.py"]
    made = {command.options.get("--output_dir") for command in commands}
    assert made == {tmp_path / "converted", tmp_path / "llm", tmp_path / "vision"}


def test_smoothquant_of_qwen2_vl_word_by_word(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoint("qwen2_vl")
    commands = plan_commands(
        folder, Path("/e"), family_named("qwen2_vl"), precision_named("int8-sq"), SETTINGS
    )
    convert, build, vision = (shlex.join(line) for line in lines(commands))
    assert convert == (
        f"python3 /examples/models/core/qwen/convert_checkpoint.py --model_dir {folder} --output_dir /e/converted "
        "--dtype float16 --tp_size 1 --smoothquant 0.5 --per_channel --per_token --calib_dataset /e/calibration/lambada"
    )
    assert build == (
        "trtllm-build --checkpoint_dir /e/converted --output_dir /e/llm --gemm_plugin float16 "
        "--gpt_attention_plugin float16 --max_beam_width 1 --max_batch_size 4 --max_input_len 2048 --max_seq_len 2048 "
        "--max_multimodal_len 1024"
    )
    assert vision == (
        "python3 /examples/models/core/multimodal/build_multimodal_engine.py --model_type qwen2_vl "
        f"--model_path {folder} --output_dir /e/vision --max_batch_size 1 --max_hw_dims 1024 --min_hw_dims 4"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"--per_chanel": True},
        {"--smoothquant": 2.0},
        {"--dtype": "fp16"},
        {"--per_token": "yes"},
        {"--tp_size": "2"},
    ],
)
def test_a_misspelt_or_ill_option_fails(options: dict[str, str | float | bool]) -> None:
    with pytest.raises(BuildFailed, match=next(iter(options))):
        Command("models/core/qwen/convert_checkpoint.py", options, Path("x"))
    with pytest.raises(BuildFailed, match="no tool"):
        Command("trtllm-bild", {}, Path("x"))


@pytest.mark.parametrize(
    ("family", "text", "precision", "said"),
    [
        ("qwen2_5_vl", "qwen2_5_vl_text", "int8-sq", "no compiled path for Qwen2.5-VL"),
        ("gemma3", "gemma3_text", "int8-sq", "no compiled path"),
        ("internvl", "qwen2", "bf16", "no compiled path"),
        ("blip-2", "t5", "int8", "no converter is known for the language model 't5'"),
        ("llava", "llama", "nvfp4", "does not make nvfp4"),
        ("llava", "llama", "int4-gptq", "GPTQ has quantized already"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_way_out(
    checkpoint: Checkpoint, tmp_path: Path, family: str, text: str, precision: str, said: str
) -> None:
    folder = checkpoint(family, text)
    with pytest.raises(BuildRefused, match=said):
        plan_commands(folder, tmp_path, family_named(family), precision_named(precision), SETTINGS)


@pytest.mark.parametrize(("size", "tiles"), [((336, 672), 3), ((672, 672), 5), ((300, 1000), 4), (None, 5)])
def test_the_vision_engine_holds_the_tiles_of_an_image(
    checkpoint: Checkpoint, tmp_path: Path, size: tuple[int, int] | None, tiles: int
) -> None:
    grids = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
    folder = checkpoint("llava_next", image_grid_pinpoints=grids, vision_config={"image_size": 336})
    family, precision = family_named("llava_next"), precision_named("bf16")
    settings = CompileSettings(image_tokens=2928, image_size=size)
    assert (
        plan_commands(folder, tmp_path, family, precision, settings)[2].options["--max_batch_size"] == tiles
    )
    with pytest.raises(BuildRefused, match="one image a question"):
        plan_commands(folder, tmp_path, family, precision, CompileSettings(image_tokens=2928, images=2))


def test_a_gptq_checkpoint_is_converted(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoint("llava", quantization_config={"quant_method": "gptq"})
    commands = plan_commands(folder, tmp_path, family_named("llava"), precision_named("int4-gptq"), SETTINGS)
    assert commands[0].options["--weight_only_precision"] == "int4_gptq"


def test_several_gpus_and_an_unknown_cache_are_refused() -> None:
    with pytest.raises(BuildRefused, match="one GPU"):
        CompileSettings(image_tokens=1, tensor_parallel=2)
    with pytest.raises(BuildRefused, match="int8 KV"):
        CompileSettings(image_tokens=1, kv="fp8")


def test_an_engine_is_built_logged_and_not_built_twice(
    checkpoint: Checkpoint, tools: Path, tmp_path: Path
) -> None:
    out, log, noted = tmp_path / "engine", tmp_path / "logs" / "compile.log", list[tuple[int, int]]()
    given = (checkpoint("qwen2_vl"), out, family_named("qwen2_vl"), precision_named("int8-sq"), SETTINGS, log)

    def note(done: int, of: int) -> None:
        noted.append((done, of))

    (tmp_path / "fail-vision").touch()
    with pytest.raises(BuildFailed, match=r"status 1.*CUDA out of memory"):
        compile_engine(*given, texts=["Is there a fracture? Yes."], note=note, examples=tools)
    rows = (out / "calibration" / "lambada" / "validation.jsonl").read_text().splitlines()
    assert len(rows) == 512 and json.loads(rows[-1]) == {"text": "Is there a fracture? Yes."}
    (tmp_path / "fail-vision").unlink()
    options = compile_engine(*given, texts=["Is there a fracture? Yes."], note=note, examples=tools)
    assert options["path"] == "compiled" and options["builder_type"] == "qwen2_vl"
    ran = (tmp_path / "ran").read_text().split()
    assert ran == [
        "convert_checkpoint.py",
        "trtllm-build",
        "build_multimodal_engine.py",
        "build_multimodal_engine.py",
    ]
    assert noted[:3] == [(0, 3), (1, 3), (2, 3)] and noted[-1] == (3, 3)
    words = log.read_text()
    assert words.count("$ ") == 4 and "building converted" in words and "CUDA out of memory" in words
    assert {path.name for path in out.iterdir()} == {"llm", "vision", "config.json", "tokenizer.json"}


def test_calibration_without_questions_is_refused(
    checkpoint: Checkpoint, tools: Path, tmp_path: Path
) -> None:
    with pytest.raises(BuildRefused, match="--calibration"):
        compile_engine(
            checkpoint("qwen2_vl"),
            tmp_path / "engine",
            family_named("qwen2_vl"),
            precision_named("int8-sq"),
            SETTINGS,
            tmp_path / "log",
            examples=tools,
        )
    assert not (tmp_path / "ran").exists()


def test_a_machine_without_the_tools_is_told_the_container_and_the_commands(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    missing = tools_missing()
    assert any("tensorrt_llm" in one for one in missing) and any("trtllm-build" in one for one in missing)
    with pytest.raises(BuildFailed, match=r"trtllm-python-py3.*convert_checkpoint\.py.*trtllm-build"):
        compile_engine(
            checkpoint("qwen2_vl"),
            tmp_path / "engine",
            family_named("qwen2_vl"),
            precision_named("int8"),
            SETTINGS,
            tmp_path / "log",
        )


def test_the_examples_are_found_where_nvidias_images_have_them(tmp_path: Path) -> None:
    assert running.find_examples((tmp_path,)) is None
    (tmp_path / "models").mkdir()
    assert running.find_examples((tmp_path / "nowhere", tmp_path)) == tmp_path


def test_blip2s_bloom_is_cut_out_for_its_converter(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, Blip2ForConditionalGeneration

    from radserve_engines.checkpoints.miniatures import make_miniature

    folder = make_miniature("blip-2/bloom", tmp_path / "whole")
    commands = plan_commands(
        folder, tmp_path / "e", family_named("blip-2"), precision_named("int8-sq"), SETTINGS
    )
    assert commands[0].tool == "models/contrib/bloom/convert_checkpoint.py"
    assert commands[0].options["--model_dir"] == tmp_path / "e" / "language-model"
    cut = cut_out_language_model(folder, tmp_path / "e" / "language-model")
    alone = AutoModelForCausalLM.from_pretrained(cut).state_dict()
    whole = Blip2ForConditionalGeneration.from_pretrained(folder).language_model.state_dict()
    assert alone.keys() == whole.keys()
    assert all(alone[name].equal(whole[name]) for name in whole)


def test_triton_is_started_under_the_launcher_with_a_rank_a_gpu() -> None:
    assert launch_command(["tritonserver"]) == ["trtllm-llmapi-launch", "tritonserver"]
    assert launch_command(["tritonserver", "--x"], 4) == [
        *("mpirun", "--allow-run-as-root", "-n", "4"),
        *("trtllm-llmapi-launch", "tritonserver", "--x"),
    ]


def test_a_strange_mpi_job_is_forgotten_but_not_the_launchers_address() -> None:
    job = {"OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0", "OMPI_MCA_btl": "self"}
    alone, launched = dict(job), {**job, "TLLM_SPAWN_PROXY_PROCESS": "1"}
    prepare_environment(alone)
    prepare_environment(launched)
    assert "OMPI_COMM_WORLD_RANK" not in alone and alone["OMPI_MCA_btl"] == "self"
    assert alone["TRTLLM_NO_USAGE_STATS"] == alone["DO_NOT_TRACK"] == "1"
    assert launched["OMPI_COMM_WORLD_RANK"] == "0"
