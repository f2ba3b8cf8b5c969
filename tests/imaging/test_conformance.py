"""The conformance page says what the code and the tests say, today."""

import subprocess
import sys
from pathlib import Path

from radserve_imaging.conformance import statements

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date(tmp_path):
    """Fails too when a statement has no test, or a test names no statement; `make conformance` writes the page."""
    fresh = tmp_path / "conformance.md"
    options = ["--collect-only", "-q", "--conformance", str(fresh)]
    command = [sys.executable, "-m", "pytest", *options, "tests/imaging", "tests/server"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert fresh.is_file(), done.stdout + done.stderr
    assert fresh.read_text() == (ROOT / "docs" / "conformance.md").read_text()


def test_keys_are_unique():
    keys = [row.key for row in statements()]
    assert len(set(keys)) == len(keys) > 50
