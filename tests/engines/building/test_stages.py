"""A build goes on where it stopped, and does again what depends on something that changed."""

import json
from pathlib import Path

import pytest
from safetensors import SafetensorError

from radserve_engines.building.stages import FILE_NAME, LOG_NAME, Stages
from radserve_engines.errors import BuildFailed, CheckpointError

NAMES = ("first", "second", "third")


def run(folder: Path, *, first: object = 1, second: object = 1, fails: str = "") -> list[str]:
    """All three stages; returns which were really done."""
    done = []
    stages = Stages(folder, NAMES)
    for name, given in zip(NAMES, (first, second, 1), strict=True):

        def work(note: object, name: str = name, given: object = given) -> dict[str, object]:
            if name == fails:
                raise CheckpointError(f"{name} is broken")
            done.append(name)
            return {"made": given}

        stages.run(name, {"given": given}, work)
    return done


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    assert run(tmp_path) == ["first", "second", "third"]
    assert run(tmp_path) == []


def test_a_failure_keeps_what_came_before_and_is_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        run(tmp_path, fails="second")
    assert "[2/3] second: second is broken" in (tmp_path / LOG_NAME).read_text()
    assert run(tmp_path) == ["second", "third"]


def test_a_change_repeats_its_stage_and_all_after_it(tmp_path: Path) -> None:
    run(tmp_path)
    assert run(tmp_path, second=2) == ["second", "third"]
    assert run(tmp_path, first=2, second=2) == ["first", "second", "third"]


def test_a_stage_whose_output_is_gone_is_done_again(tmp_path: Path) -> None:
    output = tmp_path / "weights"

    def done() -> bool:
        made: list[int] = []
        stages = Stages(tmp_path / "work", ("only",))
        stages.run("only", {}, lambda _: {"bytes": made.append(output.write_text("x"))}, outputs=(output,))
        return bool(made)

    assert [done(), done()] == [True, False]
    output.unlink()
    assert done()


def test_a_stage_that_was_begun_again_is_not_done(tmp_path: Path) -> None:
    """Second from other inputs, which breaks: what it leaves is not what it made from the inputs before."""
    run(tmp_path)
    with pytest.raises(CheckpointError):
        run(tmp_path, second=2, fails="second")
    assert run(tmp_path)[0] == "second"


def test_a_record_that_does_not_hold_is_made_again(tmp_path: Path) -> None:
    made = []
    for holds in (True, False, True):
        stages = Stages(tmp_path, ("only",))
        stages.run("only", {}, lambda _: {"errors": made.append(1)}, holds=lambda _, holds=holds: holds)
    assert len(made) == 2


def test_records_that_cannot_be_read_are_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{")
    with pytest.raises(BuildFailed, match="remove it to begin anew"):
        Stages(tmp_path, NAMES)


FULL = (
    OSError(28, "No space left on device", "weights.bin"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
)


@pytest.mark.parametrize("error", FULL)
def test_an_error_of_the_disk_names_the_stage(tmp_path: Path, error: Exception) -> None:
    def work(_: object) -> dict[str, object]:
        raise error

    with pytest.raises(BuildFailed, match=r"\[1/3\] first: .*No space left"):
        Stages(tmp_path, NAMES).run("first", {}, work)


def test_the_manifest_gets_each_record_with_its_time(tmp_path: Path) -> None:
    stages = Stages(tmp_path, NAMES)
    stages.run("first", {}, lambda _: {"made": 1})
    (told,) = stages.to_json()
    assert (told["stage"], told["made"]) == ("first", 1)
    assert told["seconds"] >= 0
    assert json.loads((tmp_path / FILE_NAME).read_text())["first"]["record"] == {"made": 1}
