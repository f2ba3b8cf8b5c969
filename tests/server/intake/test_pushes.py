"""What one push may bring, and what its end means."""

import pytest

from radserve_server.errors import InstanceRefused
from radserve_server.intake.configuration import LimitsTable, SpoolTable
from radserve_server.intake.pushes import Reception
from radserve_server.intake.spool import Spool
from radserve_server.metrics import Metrics

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def noted():
    return {"growth": [], "release": [], "losses": 0}


@pytest.fixture
def reception(noted):
    def count():
        noted["losses"] += 1

    limits = LimitsTable.model_validate({"push_instances": 3})
    spool = Spool(SpoolTable.model_validate({}), note_loss=count)
    return Reception(spool, limits, Metrics(), noted["growth"].append, noted["release"].extend)


def test_what_was_announced_must_be_what_came(reception, make_series):
    data = make_series(80, 1)[0].read_bytes()
    push = reception.begin("CT1")
    for announced in ((CT_IMAGE, "1.2.3"), ("1.2.840.10008.5.1.4.1.1.4", f"{_uid(80)}.1.1")):
        with pytest.raises(InstanceRefused) as refused:
            push.take(data, sop=announced)
        assert (refused.value.status_code, refused.value.code) == (0xA900, "instance_mismatch")
    assert push.take(data, sop=(CT_IMAGE, f"{_uid(80)}.1.1")).address.study == _uid(80)
    with pytest.raises(InstanceRefused, match="at most"):
        push.take(data)
    assert (push.stored, push.refused) == (1, 3)


def test_growth_release_and_losses_are_told(reception, noted, make_series):
    data = make_series(81, 1)[0].read_bytes()
    push = reception.begin(None)
    push.take(data)
    push.take(data)
    assert noted == {"growth": [_uid(81)], "release": [], "losses": 0}
    push.take(data.replace(b"CompressedSamples", b"OtherSamples12345"))
    reception.note_end(push)
    assert noted == {"growth": [_uid(81)] * 2, "release": [_uid(81)], "losses": 1}


def _uid(number):
    return f"1.2.826.0.1.3680043.8.498.77.{number}"
