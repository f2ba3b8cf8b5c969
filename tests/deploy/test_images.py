"""The images: what they install is what the project declares, and what they copy is all that a build needs."""

import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

# What NVIDIA's container brings: requirements.txt of TensorRT-LLM 1.2.1, and what those packages themselves need.
IN_THE_CONTAINER = (
    "numpy, PIL, jinja2, markupsafe, tokenizers, transformers, safetensors, torch, yaml, tensorrt_llm, httpx, "
    "huggingface_hub, regex, packaging, tqdm, requests, filelock, mpi4py"
)
PROBE = """
import importlib.abc, sys
allowed = set(sys.argv[1].split(",")) | set(sys.stdlib_module_names)

class OnlyThese(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and not top.startswith(("radserve_", "_radserve", "_editable_impl", "_cffi")):
            raise ModuleNotFoundError(f"no module named {name!r} in the container", name=name)

sys.meta_path.insert(0, OnlyThese())
import radserve_engines.acceptance, radserve_engines.runtime.loading, radserve_engines.runtime.worker
import radserve_engines.triton_model
"""


@pytest.fixture(scope="module")
def project(pytestconfig):
    return tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def added(deploy):
    lines = (deploy / "triton-requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_the_extras_that_images_install_exist(deploy, project):
    extras = project["project"]["optional-dependencies"]
    named = []
    for path in [*deploy.glob("*.Dockerfile"), deploy / "verification-steps.sh"]:
        named += re.findall(r"['\"](?:\.|\$\{root\})\[([\w,]+)\]['\"]", path.read_text())
    assert sorted(named) == ["bench", "server", "server", "server,cpu"]
    for one in ",".join(named).split(","):
        assert one in extras


def test_what_is_added_to_the_container_is_what_the_project_asks_for(project, added):
    asked = [
        Requirement(one) for many in project["project"]["optional-dependencies"].values() for one in many
    ]
    for requirement in added:
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        for wish in (one for one in asked if one.name == requirement.name):
            assert wish.specifier.contains(pin.version), f"{requirement} is not {wish}"


def test_the_engine_side_imports_with_what_the_container_has_and_what_is_added(added):
    """Also that the container's own torch is not imported where nothing asks for it: it would cost seconds."""
    allowed = [one.strip() for one in IN_THE_CONTAINER.split(",")] + [one.name for one in added]
    run = subprocess.run([sys.executable, "-c", PROBE, ",".join(allowed)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    less = ",".join(one for one in allowed if one != "pydicom")
    assert subprocess.run([sys.executable, "-c", PROBE, less], capture_output=True).returncode != 0


@pytest.mark.parametrize("name", ["gateway", "cpu", "triton", "viewer"])
def test_an_image_is_built_from_everything_that_the_wheel_is_made_of(deploy, project, name):
    """Docker reads NAME.Dockerfile.dockerignore: of the lines that a path matches, the last one counts."""
    lines = (deploy / f"{name}.Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [*wheel["packages"], *wheel["force-include"], "pyproject.toml", "README.md", "LICENSE"]
    needed += re.findall(
        r"^COPY (?:--\S+ )*(deploy/\S+)", (deploy / f"{name}.Dockerfile").read_text(), re.MULTILINE
    )
    assert lines[1] == "*"
    for path in needed:
        *_, last = [rule for rule in rules if matches(path, rule.lstrip("!"))]
        assert last.startswith("!"), path
    assert not any(re.search(r"secrets|\.env|\.venv|runs", rule) for rule in rules if rule.startswith("!"))


def matches(path, pattern):
    return pattern == "*" or path == pattern or path.startswith(f"{pattern}/")


@pytest.mark.parametrize("name", ["gateway", "cpu", "triton", "viewer"])
def test_an_image_runs_as_nobody_special_and_is_asked_for_its_health(deploy, name):
    text = (deploy / f"{name}.Dockerfile").read_text()
    users = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert users and all(int(number) >= 1000 for pair in users for number in pair)
    assert text.index("USER ") > text.index("\nRUN") and "HEALTHCHECK" in text


def test_nothing_of_the_containers_own_is_replaced(deploy):
    text = (deploy / "triton.Dockerfile").read_text()
    last = text[text.rindex("FROM ") :]
    assert last.count("pip install") == 1 and "--no-deps" in last


def test_the_viewers_image_has_no_npm_but_what_npm_fetched(deploy):
    _, build, last = (deploy / "viewer.Dockerfile").read_text().split("\nFROM ")
    assert "npm" in build and "npm" not in last
    (folder,) = re.findall(r"ohif --fetch --viewer (\S+)", build)
    assert f"COPY --from=build {folder} {folder}" in last and f'"--viewer", "{folder}"' in last
