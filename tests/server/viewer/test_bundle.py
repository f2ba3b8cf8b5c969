"""OHIF's package: only the one that was reviewed is unpacked, and what is unpacked is what a browser needs."""

import base64
import gzip
import hashlib
import io
import os
import tarfile

import pytest

from radserve_server.viewer import bundle as module
from radserve_server.viewer.bundle import BundleError, default_folder, fetch_viewer, is_there
from radserve_server.viewer.policy import page_policy

FILES = {
    "package/package.json": b"{}",
    "package/dist/index.html": b"<html></html>",
    "package/dist/app.js": b"const one = 1;" * 100,
    "package/dist/app.js.map": b"{}",
    "package/dist/ort/big.wasm": b"\0asm",
    "package/dist/assets/a.png": b"png",
    "package/dist/../outside.js": b"out",
}


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """An npm that gives this package, first on PATH."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (tmp_path / "ohif.tgz").write_bytes(packed.getvalue())
    program = tmp_path / "bin/npm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncp {tmp_path}/ohif.tgz "$4"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return base64.b64encode(hashlib.sha512(packed.getvalue()).digest()).decode()


def test_the_reviewed_package_is_unpacked_without_what_no_browser_needs(npm, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SHA512", npm)
    folder = tmp_path / "viewer"
    folder.mkdir()
    (folder / "old.js").write_text("of another version")
    assert not is_there(folder)
    fetch_viewer(folder)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {
        *("index.html", "index.html.gz", "app.js", "app.js.gz", "assets/a.png", "radserve-ohif-version")
    }
    assert gzip.decompress((folder / "app.js.gz").read_bytes()) == FILES["package/dist/app.js"]
    assert is_there(folder) and "@ohif/app@3.13.2" in (tmp_path / "asked").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"asked", "bin", "ohif.tgz", "viewer"}


def test_another_package_under_the_same_name_is_refused_and_nothing_is_left(npm, tmp_path):
    with pytest.raises(BundleError, match="sha512"):
        fetch_viewer(tmp_path / "viewer")
    assert not (tmp_path / "viewer").exists()


def test_without_npm_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BundleError, match="apt-get install npm"):
        fetch_viewer(tmp_path / "viewer")


def test_the_real_viewer_is_whole_and_its_page_has_no_script_that_its_policy_forbids():
    folder = default_folder()
    if not is_there(folder):
        pytest.skip("OHIF is not fetched: radserve ohif --fetch (needs npm)")
    page = (folder / "index.html").read_bytes()
    assert page.count(b"'sha256-") == 0 and page_policy(page).count("'sha256-") == 2
    assert b" onload=" not in page and b"javascript:" not in page
    scripts = [path for path in folder.glob("*.bundle.*.js")]
    assert len(scripts) > 40 and all(path.with_name(f"{path.name}.gz").is_file() for path in scripts)
    assert not list(folder.rglob("*.map"))
