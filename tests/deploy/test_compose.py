"""compose.yaml: what it sets exists, what it opens is loopback's, and what it runs is pinned and sealed."""

import hashlib
import json
import re
import shutil
import subprocess

import pytest
import yaml

from radserve_client import cli
from radserve_engines.acceptance import VARIABLES
from radserve_engines.triton_model import ENGINE_VARIABLE
from radserve_server.auth import Keyring
from radserve_server.pacs.configuration import read_endpoints
from radserve_server.pacs.endpoint import Credentials
from radserve_server.settings import load_settings

OURS = ("triton", "gateway", "cpu")


def test_every_yaml_file_parses(deploy):
    found = sorted(deploy.rglob("*.yml")) + sorted(deploy.rglob("*.yaml"))
    assert len(found) == 5
    for path in found:
        assert yaml.safe_load(path.read_text()), path


@pytest.mark.parametrize("service", ["gateway", "cpu"])
def test_the_gateway_reads_the_environment_it_is_given(compose, service, monkeypatch, tmp_path):
    """A misspelt variable is refused by load_settings itself, as it would be in the container."""
    environment = {name: str(value) for name, value in compose["services"][service]["environment"].items()}
    of_the_engine = {ENGINE_VARIABLE, *VARIABLES} - {"RADSERVE_ALLOW_UNGATED"}
    if service == "cpu":
        environment = {name: value for name, value in environment.items() if name not in of_the_engine}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings([], environment)
    assert settings.host == "0.0.0.0" and str(settings.api_keys_file) == "/run/secrets/api-keys"
    assert not settings.insecure_open and not settings.allow_ungated
    assert settings.triton_url == ("triton:8001" if service == "gateway" else "127.0.0.1:8001")


def test_triton_is_told_of_engine_keys_and_gate_and_of_nothing_that_is_not_read(compose):
    environment = compose["services"]["triton"]["environment"]
    assert {name for name in environment if name.startswith("RADSERVE_")} == {ENGINE_VARIABLE, *VARIABLES}
    assert environment[ENGINE_VARIABLE] == "/engines/mine"
    assert str(environment["RADSERVE_ALLOW_UNGATED"]) == "0"
    assert environment["TRTLLM_NO_USAGE_STATS"] == environment["DO_NOT_TRACK"] == "1"


def test_every_path_that_a_variable_names_is_mounted(compose):
    for name in OURS:
        service = compose["services"][name]
        mounted = {volume["target"] for volume in service.get("volumes", [])}
        mounted |= {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}
        paths = {
            str(value)
            for value in service["environment"].values()
            if re.match(r"/(engines|trusted|run|pacs|audit)", str(value))
        }
        assert paths
        for path in paths:
            assert any(path == place or path.startswith(f"{place}/") for place in mounted), (name, path)


def test_without_an_engine_of_ones_own_the_cpu_container_serves_its_demo_engine(read_compose):
    """An empty folder of trusted keys would be refused: none is named then."""
    environment = read_compose()["services"]["cpu"]["environment"]
    assert not environment[ENGINE_VARIABLE] and not environment["RADSERVE_TRUSTED_KEYS"]


def test_readers_verdicts_are_kept(compose):
    for name in ("gateway", "cpu"):
        assert compose["services"][name]["environment"]["RADSERVE_AUDIT_FILE"].startswith("/audit/")
    assert "audit" in compose["volumes"]


def test_engines_keys_and_model_repository_cannot_be_written_from_within(compose):
    for name in OURS:
        for volume in compose["services"][name].get("volumes", []):
            assert volume.get("read_only") or volume["target"] in ("/cache", "/audit")


def test_ports_are_opened_on_loopback_only_and_triton_opens_none(compose):
    opened = {name: service.get("ports", []) for name, service in compose["services"].items()}
    assert not opened["triton"] and not opened["prometheus"]
    ports = [port for many in opened.values() for port in many]
    assert len(ports) == 5 and all(port.startswith("127.0.0.1:") for port in ports)


def test_only_what_opens_a_port_has_a_way_out(compose):
    assert compose["networks"]["inside"]["internal"]
    for name, service in compose["services"].items():
        assert ("outside" in service["networks"]) == bool(service.get("ports")), name


def test_no_container_has_more_rights_than_it_needs(compose):
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service and service.get("user") not in ("root", "0", 0)
    for name in ("gateway", "cpu", "prometheus", "viewer"):
        assert compose["services"][name]["read_only"], name


def test_the_embedded_triton_may_start_its_backend_from_a_read_only_container(compose):
    """It is laid out below /tmp, and Docker's own tmpfs would not let it be executed."""
    (tmpfs,) = compose["services"]["cpu"]["tmpfs"]
    assert tmpfs.startswith("/tmp:") and "exec" in tmpfs.split(":")[1].split(",")


def test_every_image_is_pinned(deploy, compose):
    images = [service["image"] for service in compose["services"].values()]
    for dockerfile in deploy.glob("*.Dockerfile"):
        images += re.findall(r"^FROM (\S+)", dockerfile.read_text(), re.MULTILINE)
    assert len(images) == 15
    for image in images:
        tag = image.rpartition(":")[2]
        assert re.match(r"v?\d+\.\d+", tag) and "latest" not in image, image


def test_env_example_explains_every_variable_and_no_other(deploy):
    used = set(re.findall(r"\$\{(\w+)", (deploy / "compose.yaml").read_text()))
    lines = (deploy / ".env.example").read_text().splitlines()
    explained = {line.partition("=")[0] for line in lines if re.match(r"[A-Z]", line)}
    assert explained == used | {"COMPOSE_PROFILES"}


def test_env_example_shows_the_defaults(deploy, read_compose):
    lines = [line for line in (deploy / ".env.example").read_text().splitlines() if re.match(r"[A-Z]", line)]
    shown = dict(line.split("=", 1) for line in lines)
    assert read_compose(**shown) == read_compose()


def test_prometheus_asks_the_names_and_ports_that_are_served(deploy, compose):
    jobs = yaml.safe_load((deploy / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    asked = {(one["dns_sd_configs"][0]["names"][0], one["dns_sd_configs"][0]["port"]) for one in jobs}
    assert asked == {("gateway", 8000), ("triton", 8002)}
    assert compose["services"]["gateway"]["environment"]["RADSERVE_PORT"] == 8000
    assert compose["services"]["cpu"]["networks"]["inside"]["aliases"] == ["gateway"]
    for name in ("gateway", "triton", "prometheus", "cpu"):
        assert "inside" in compose["services"][name]["networks"]


def test_the_gateway_lets_answers_end_before_it_is_killed(compose):
    for name in ("gateway", "cpu"):
        grace = int(compose["services"][name]["stop_grace_period"].removesuffix("s"))
        assert grace > load_settings([], {}).shutdown_s


def test_grafana_lets_nobody_in_unasked_and_calls_nobody(compose):
    environment = compose["services"]["grafana"]["environment"]
    off = ("GF_AUTH_ANONYMOUS_ENABLED", "GF_ANALYTICS_REPORTING_ENABLED", "GF_ANALYTICS_CHECK_FOR_UPDATES")
    assert all(environment[name] == "false" for name in off)
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana-password"


def test_the_viewer_says_only_words_that_radserve_knows_and_asks_for_a_login(compose):
    viewer = compose["services"]["viewer"]
    given, rest = cli._parser().parse_known_args(["ohif", *viewer["command"]])
    assert not rest and given.api_keys_file and not given.insecure_open
    assert given.host == "0.0.0.0" and f":{given.port}" in viewer["ports"][0]
    assert given.server == "http://gateway:8000" and "inside" in viewer["networks"]
    mounted = {volume["target"] for volume in viewer["volumes"]}
    assert str(given.pacs_file.parent) in mounted and viewer["secrets"] == ["api-keys"]


def test_the_archive_of_the_profile_viewer_lets_only_those_in_who_have_its_password(
    deploy, compose, tmp_path
):
    """What prepare.sh writes for Orthanc is what gateway and viewer show it."""
    prepare(deploy, tmp_path)
    folder = tmp_path / "secrets/pacs"
    text = (folder / "pacs.toml").read_text()
    (folder / "here.toml").write_text(text.replace('"/pacs/', f'"{folder}/'))
    (archive,) = read_endpoints(folder / "here.toml", {}).values()
    users = json.loads((tmp_path / "secrets/orthanc.json").read_text())["RegisteredUsers"]
    ((name, password),) = users.items()
    assert archive.credentials == Credentials.basic(name, password) and len(password) > 40
    assert archive.name == "archive" and archive.url == "http://orthanc:8042/dicom-web"
    assert password not in text
    orthanc = compose["services"]["orthanc"]
    assert orthanc["environment"]["ORTHANC__AUTHENTICATION_ENABLED"] == "true"
    assert orthanc["secrets"] == ["orthanc.json"] and "inside" in orthanc["networks"]
    assert "8042" not in "".join(orthanc["ports"])


def test_the_reading_room_is_started_only_where_it_is_wanted(compose):
    for name in ("viewer", "orthanc"):
        assert compose["services"][name]["profiles"] == ["viewer"]


def prepare(deploy, folder):
    for name in ("prepare.sh", ".env.example"):
        shutil.copy(deploy / name, folder / name)
    return subprocess.run(
        [folder / "prepare.sh", "reader"], capture_output=True, text=True, check=True
    ).stdout


def test_prepare_makes_a_key_that_the_gateway_takes_and_makes_nothing_twice(deploy, tmp_path):
    first = prepare(deploy, tmp_path)
    secret = (tmp_path / "secrets/orthanc.json").read_text()
    told = [first, prepare(deploy, tmp_path)]
    assert (tmp_path / "secrets/orthanc.json").read_text() == secret
    (key,) = re.findall(r"rs_\S+", "".join(told))
    keys = tmp_path / "secrets/api-keys"
    assert Keyring.load(keys).owner(key) == "reader"
    assert key not in keys.read_text() and hashlib.sha256(key.encode()).hexdigest() in keys.read_text()
    assert (tmp_path / ".env").read_text() == (deploy / ".env.example").read_text()
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert len((tmp_path / "secrets/grafana-password").read_text()) > 40
