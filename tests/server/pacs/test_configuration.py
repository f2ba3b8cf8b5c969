"""The file of named PACS: what is wrong in it is said by file, table and key, and no secret is ever told."""

import pytest

from radserve_server.errors import InvalidRequest
from radserve_server.pacs.archive import INTAKE, Archives
from radserve_server.pacs.configuration import open_archives
from radserve_server.pacs.memory import MemoryArchive
from radserve_server.settings import Settings

URL = 'url = "https://pacs.example/dicom-web"\n'
SECRET = "correct horse"


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("WARD_SECRET", SECRET)
    path = tmp_path / "pacs.toml"

    def make(text):
        path.write_text(text)
        return Settings(pacs_file=path)

    return make


WRONG = {
    "no TOML": ("[ward", "is not TOML"),
    "no table": (URL, "outside of a table"),
    "no url": ("[ward]\nparallel = 2", "[ward] url"),
    "another key": (f"[ward]\n{URL}speed = 3", "[ward] speed: there is no such key"),
    "a name that cannot be": (f'["a b"]\n{URL}', "[a b]"),
    "the intake's name": (f"[{INTAKE}]\n{URL}", f"[{INTAKE}]"),
    "a password in the file": (f'[ward]\n{URL}username = "a"\npassword = "{SECRET}"', "password_env"),
    "a token in the file": (f'[ward]\n{URL}token = "{SECRET}"', "token_file"),
    "a password in the url": (f'[ward]\nurl = "https://a:{SECRET}@pacs.example/"', "password_env"),
    "a variable that is not set": (f'[ward]\n{URL}token_env = "NO_SUCH"', "[ward] token_env"),
    "a variable of our own": (f'[ward]\n{URL}token_env = "RADSERVE_TOKEN"', "RADSERVE_"),
    "a file that is not there": (f'[ward]\n{URL}token_file = "/no/such"', "[ward] token_file"),
    "a name without password": (f'[ward]\n{URL}username = "a"', "username goes with"),
    "a password without name": (f'[ward]\n{URL}password_env = "WARD_SECRET"', "username goes with"),
    "two ways at once": (
        f'[ward]\n{URL}username = "a"\npassword_env = "WARD_SECRET"\ntoken_env = "WARD_SECRET"',
        "contradict",
    ),
    "credentials in the open": (
        '[ward]\nurl = "http://pacs.example/"\ntoken_env = "WARD_SECRET"',
        "allow_plain_http",
    ),
    "an address that is none": ('[ward]\nurl = "pacs.example"', "[ward]"),
    "certificates without TLS": (
        '[ward]\nurl = "http://127.0.0.1/"\nca_file = "/no/such"',
        "need an https url",
    ),
    "a CA that is not there": (f'[ward]\n{URL}ca_file = "/no/such"', "[ward] ca_file"),
    "a certificate that is none": (f'[ward]\n{URL}client_certificate = "/dev/null"', "client_certificate"),
    "a key alone": (f'[ward]\n{URL}client_key = "/dev/null"', "client_key goes with"),
    "too many at once": (f"[ward]\n{URL}parallel = 1000", "[ward] parallel"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_its_place_and_without_the_secret(write, case):
    text, told = WRONG[case]
    with pytest.raises(ValueError) as caught:
        open_archives(write(text))
    message = str(caught.value)
    assert told in message
    assert "pacs.toml" in message
    assert SECRET not in message


def test_each_table_is_an_archive_and_nothing_shows_its_secret(write):
    text = f'[ward]\n{URL}username = "reader"\npassword_env = "WARD_SECRET"\n[clinic-2]\n{URL}'
    archives = open_archives(write(text))
    assert list(archives.by_name) == ["ward", "clinic-2"]
    assert SECRET not in repr(archives)
    endpoint = archives.by_name["ward"]._archive._endpoint
    assert SECRET not in repr(endpoint) and "Basic" not in repr(endpoint)


def test_plain_http_with_credentials_is_taken_where_it_is_allowed_or_stays_on_the_machine(write):
    token = 'token_env = "WARD_SECRET"\n'
    for url in (
        f'url = "http://127.0.0.1/"\n{token}',
        f'url = "http://pacs/"\n{token}allow_plain_http = true',
    ):
        assert list(open_archives(write(f"[ward]\n{url}")).by_name) == ["ward"]


def test_an_address_alone_is_a_pacs_called_pacs(write):
    settings = Settings(pacs_url="http://127.0.0.1:8042/dicom-web")
    assert list(open_archives(settings).by_name) == ["pacs"]
    with pytest.raises(ValueError, match="pacs_url"):
        open_archives(Settings(pacs_url=f"http://a:{SECRET}@127.0.0.1/"))


def test_the_only_configured_archive_is_meant_where_none_is_named():
    ward, pushed = MemoryArchive("ward"), MemoryArchive(INTAKE)
    assert Archives({"ward": ward, INTAKE: pushed}).get(None, "pacs") is ward
    assert Archives({INTAKE: pushed}).get(None, "pacs") is pushed
    assert Archives({"ward": ward, INTAKE: pushed}).get(INTAKE, "pacs") is pushed
    for several in ({}, {"ward": ward, "clinic": MemoryArchive("clinic")}):
        with pytest.raises(InvalidRequest) as caught:
            Archives(several).get(None, "pacs")
        assert caught.value.code == "unknown_pacs"
