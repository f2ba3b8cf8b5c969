"""Who may ask: keys are kept as hashes, and a door to the outside has a lock."""

import re

import pytest

from radserve_server.auth import Keyring, hash_key, make_key
from radserve_server.fake import FakeBackend
from radserve_server.settings import Settings, load_settings


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"# who: hash\n\nann:{hash_key('secret')}\n")
    return path


def test_every_route_under_v1_needs_a_key_and_health_does_not(start, keys):
    with start(FakeBackend(), api_keys_file=keys, metrics_open=False) as gateway:
        document = gateway.http.get("/openapi.json").json()
        routes = [(path, method) for path, methods in document["paths"].items() for method in methods]
        assert len(routes) >= 10
        for path, method in routes:
            response = gateway.http.request(method, re.sub("{.*?}", "x", path))
            if path.startswith("/health/"):
                assert response.status_code == 200, path
                continue
            assert response.status_code == 401, path
            assert response.json()["error"]["type"] == "authentication_error"
            assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic secret", "Bearer", "secret", "Bearer secret x"])
def test_a_wrong_key_is_refused(start, keys, header):
    with start(FakeBackend(), api_keys_file=keys) as gateway:
        assert gateway.http.get("/v1/models", headers={"authorization": header}).status_code == 401
        right = {"authorization": "Bearer secret"}
        assert gateway.http.get("/v1/models", headers=right).status_code == 200


def test_a_new_key_opens_by_its_hash_only():
    key = make_key()
    assert len(key) > 40
    assert key != make_key()
    assert Keyring((("ann", hash_key(key)),)).owner(key) == "ann"
    assert Keyring((("ann", hash_key(key)),)).owner(hash_key(key)) is None


@pytest.mark.parametrize("text", ["", "# nothing\n", "ann:secret\n", "ann\n", f"a b:{'0' * 64}\n"])
def test_a_key_file_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ValueError, match="keys"):
        Keyring.load(path)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "gateway.example"])
def test_an_address_reachable_from_outside_needs_keys_or_an_explicit_word(host, keys):
    with pytest.raises(ValueError, match="reachable from outside"):
        Settings(host=host)
    assert Settings(host=host, api_keys_file=keys).host == host
    assert Settings(host=host, insecure_open=True).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_none(host):
    assert Settings(host=host).host == host


def test_the_command_line_goes_before_the_environment():
    environment = {"RADSERVE_URL": "the client's", "PATH": "x"}
    settings = load_settings(["--port", "1234", "--max-running", "3"], environment)
    assert (settings.port, settings.max_running) == (1234, 3)


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(ValueError, match="RADSERVE_PROT"):
        load_settings([], {"RADSERVE_PROT": "8000"})


def test_every_setting_is_described():
    assert all(field.description for field in Settings.model_fields.values())
