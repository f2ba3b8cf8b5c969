"""The intake file, and what its rules match."""

from pathlib import Path

import pytest

from radserve_server.intake.configuration import (
    IntakeFile,
    LimitsTable,
    ListenerTable,
    PeerTable,
    RuleTable,
    SpoolTable,
    StandingTable,
    TlsTable,
    read_intake_file,
)
from radserve_server.intake.instances import Traits, read_instance
from radserve_server.intake.rules import Rule

HEAD = Traits("CT1", "CT", "HEAD", "CT Schädel", "Routine Brain 5.0")


def rule(**conditions):
    return Rule.compile(RuleTable.model_validate({"name": "a", "questions": ["?"], **conditions}))


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"modality": "ct"}, True),
        ({"modality": "C"}, False),
        ({"modality": ["MR", "CT"]}, True),
        ({"ae_title": "CT?"}, True),
        ({"study_description": "*schädel*"}, True),
        ({"series_description": "brain"}, False),
        ({"series_description": "*brain*"}, True),
        ({"series_description": "/brain|skull/"}, True),
        ({"series_description": "/^brain/"}, False),
        ({"modality": "CT", "body_part": "CHEST"}, False),
    ],
)
def test_all_conditions_must_hold(conditions, holds):
    assert rule(**conditions).matches(HEAD) == holds


def test_what_is_not_said_matches_nothing():
    assert not rule(ae_title="*").matches(Traits(None, "CT", None, None, None))


def test_the_matching_series_with_most_images_is_chosen(make_series):
    files = [*make_series(70, 2), *make_series(71, 4, Modality="MR"), *make_series(72, 3)]
    instances = [read_instance(file.read_bytes(), "CT1") for file in files]
    assert rule(modality="CT").choose_series(instances) == instances[-1].address.series
    assert (
        rule().choose_series([read_instance(make_series(74, 1, Modality="SEG")[0].read_bytes(), "CT1")])
        is None
    )
    assert rule(modality="US").choose_series(instances) is None


def test_descriptions_are_read_in_their_own_character_set(make_series):
    for charset, description in (("ISO_IR 192", "Schädel頭部"), ("ISO_IR 100", "Schädel"), ("GB18030", "头")):
        (file,) = make_series(73, 1, SpecificCharacterSet=charset, SeriesDescription=description)
        assert read_instance(file.read_bytes(), None).traits.series_description == description


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            "[listener]\nae_title = 'A'\nprot = 1\n[[peers]]\nae_title='B'",
            "listener.prot: there is no such key",
        ),
        ("[listener]\nae_title = 'A'", "nobody could push"),
        (
            "[listener]\nae_title = 'much too long a title'\n[[peers]]\nae_title='B'",
            "listener.ae_title: an AE",
        ),
        ("[[peers]]\nae_title = 'A'\naddress = 'ward'", "peers.0.address"),
        ("[spool]\nkind = 'encrypted'", "needs a folder"),
        ("[[rules]]\nname = 'a'\nquestions = []", "rules.0.questions"),
        ("[[rules]]\nname = 'a'\nquestions = ['?']\nmodality = '/(/'", "not a regular expression"),
        ("[limits]\ninstance_bytes = '3'", "limits.instance_bytes"),
        ("spool = ", "is not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path, lines, told):
    path = tmp_path / "intake.toml"
    path.write_text(lines)
    with pytest.raises(ValueError, match=r"intake\.toml") as refused:
        read_intake_file(path)
    assert told in str(refused.value)


def test_paths_are_relative_to_the_file(tmp_path):
    path = tmp_path / "intake.toml"
    path.write_text("[spool]\nkind = 'encrypted'\nfolder = 'spool'\n")
    assert read_intake_file(path).spool.folder == tmp_path / "spool"
    with pytest.raises(ValueError, match="cannot be read"):
        read_intake_file(tmp_path / "nowhere.toml")


def test_the_documented_file_is_read_and_shows_every_key(tmp_path):
    page = (Path(__file__).parents[3] / "docs/intake.md").read_text()
    example = page.partition("```toml\n")[2].partition("```")[0]
    path = tmp_path / "intake.toml"
    path.write_text(example.replace("\n# [", "\n[").replace("\n# ", "\n"))
    file = read_intake_file(path)
    assert file.listener.tls.authority == tmp_path / "hospital-ca.pem"
    tables = [
        IntakeFile,
        ListenerTable,
        TlsTable,
        PeerTable,
        LimitsTable,
        SpoolTable,
        StandingTable,
        RuleTable,
    ]
    for name in {name for table in tables for name in table.model_fields}:
        assert name in page, name
