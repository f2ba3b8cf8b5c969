"""C-STORE and C-ECHO, by Debian's dcmtk over a real socket."""

import asyncio
import contextlib
import io
import json
import logging
import shutil
import socket
import struct
import tracemalloc

import pydicom
import pytest
from pynetdicom import AE

from radserve_server.intake import listener
from radserve_server.intake.configuration import PeerTable


@pytest.mark.parametrize(("program", "series"), [("storescu", "head"), ("dcmsend", "spine")])
def test_a_pushed_series_is_answered_from(ward, study_of, request, program, series):
    files = request.getfixturevalue(series)
    study, stored = study_of(files), 'radserve_intake_instances_total{outcome="stored"}'
    assert ward.ask(study).json()["error"]["code"] == "dicom_not_found"
    before = ward.count(stored)
    done = ward.push(program, *files)
    assert (done.returncode, done.stderr) == (0, "")
    assert (ward.kept(study), ward.count(stored)) == (len(files), before + len(files))
    answer = ward.ask(study)
    assert answer.status_code == 200, answer.text
    (seen,) = answer.json()["clinical"]["seen"]
    named = {str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in files}
    assert (seen["pacs"], seen["study"]) == ("intake", study)
    assert seen["instance"] in named
    assert ward.count("radserve_intake_bytes") == ward.spool.bytes > 0


def test_what_is_sent_again_is_kept_once(ward, make_series, study_of):
    files = make_series(10)
    ward.push("storescu", *files)
    size = ward.spool.bytes
    ward.push("storescu", *files)
    assert (ward.kept(study_of(files)), ward.spool.bytes) == (2, size)


@pytest.mark.parametrize(
    ("titles", "reason", "outcome"),
    [
        ({"caller": "CT2"}, "Calling AE Title Not Recognized", "calling_ae_title_not_recognised"),
        ({"caller": "CT2", "called": "OTHER"}, "Calling AE", "calling_ae_title_not_recognised"),
        ({"called": "OTHER"}, "Called AE Title Not Recognized", "called_ae_title_not_recognised"),
    ],
)
def test_a_title_that_is_not_on_the_list_is_refused(ward, make_series, study_of, titles, reason, outcome):
    counted = f'radserve_intake_associations_total{{outcome="{outcome}"}}'
    files, before = make_series(11), ward.count(counted)
    done = ward.push("storescu", *files, **titles)
    assert done.returncode != 0
    assert reason in done.stderr
    assert ward.count(counted) == before + 1
    assert ward.kept(study_of(files)) == 0


@pytest.mark.parametrize(
    ("address", "network", "is_from"),
    [
        ("10.1.2.3", "10.1.2.0/24", True),
        ("10.1.3.3", "10.1.2.0/24", False),
        ("::ffff:10.1.2.3", "10.1.2.3", True),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "10.1.2.0/24", False),
        ("10.1.2.3", None, True),
    ],
)
def test_addresses_and_networks(address, network, is_from):
    peer = PeerTable.model_validate({"ae_title": "CT1", "address": network})
    assert listener._is_from(peer, address) == is_from


def test_a_peer_must_come_from_its_address(open_ward, peer, make_series, study_of, tmp_path):
    files, audit = make_series(12), tmp_path / "audit.jsonl"
    lines = peer + 'address = "192.0.2.0/24"\n[[peers]]\nae_title = "CT2"\naddress = "127.0.0.0/8"\n'
    with open_ward(lines, audit_file=audit) as ward:
        assert "Calling AE Title Not Recognized" in ward.push("storescu", *files).stderr
        assert ward.kept(study_of(files)) == 0
        assert ward.push("storescu", *files, caller="CT2").returncode == 0
        assert ward.kept(study_of(files)) == 2
        ward.gateway.until(lambda: "push" in audit.read_text())
    events = [json.loads(line) for line in audit.read_text().splitlines()]
    told = [(event["caller"], event.get("outcome"), event.get("stored")) for event in events]
    assert told == [
        ("ae:CT1", "calling_ae_title_not_recognised", None),
        ("ae:CT2", "accepted", None),
        ("ae:CT2", None, 2),
    ]


def test_echo_is_answered(ward):
    assert ward.push("echoscu").returncode == 0


@pytest.mark.parametrize("program", ["storescu", "dcmsend"])
def test_jpeg_2000_arrives_as_it_was_sent(ward, make_series, study_of, program):
    number = 13 + (program == "dcmsend")
    files = make_series(number, 3, "JPEG2000.dcm")
    done = ward.push(program, *files, more=["-xw"] if program == "storescu" else [])
    assert done.returncode == 0, done.stderr
    kept = ward.spool.state(study_of(files)).instances
    for file, instance in zip(files, kept, strict=True):
        sent = pydicom.dcmread(file)
        received = pydicom.dcmread(io.BytesIO(asyncio.run(ward.spool.fetch(instance.address))))
        assert received.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert received.PixelData == sent.PixelData  # the codestream, to the last bit
        assert received == sent
    assert ward.ask(study_of(files)).status_code == 200


@pytest.fixture(scope="module")
def limited(open_ward, peer):
    with open_ward(peer + "[limits]\ninstance_bytes = 100_000\npush_instances = 2\n") as ward:
        yield ward


def test_an_instance_over_the_limit_is_refused_and_the_next_is_taken(limited, make_series, study_of):
    large, small = make_series(15, 1, Rows=1024, Columns=1024, PixelData=bytes(2**21)), make_series(16, 1)
    done = limited.push("storescu", *large, *small, more=["-nh", "-v"])
    assert "OutOfResources" in done.stdout + done.stderr
    assert "0xa700" in limited.push("storescu", *large, more=["-d"]).stderr.lower()
    assert (limited.kept(study_of(large)), limited.kept(study_of(small))) == (0, 1)
    assert limited.count('radserve_intake_instances_total{outcome="instance_too_large"}') == 2


def test_of_an_instance_over_the_limit_no_more_than_the_limit_is_held(limited, make_series):
    huge = make_series(23, 1, Rows=4096, Columns=4096, PixelData=bytes(2**25))
    tracemalloc.start()
    try:
        assert "OutOfResources" in limited.push("storescu", *huge, more=["-v"]).stderr
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_a_push_has_limits(limited, make_series, study_of):
    files = make_series(17, 3)
    assert "OutOfResources" in limited.push("storescu", *files, more=["-v"]).stderr
    assert limited.kept(study_of(files)) == 2


def test_an_image_that_is_pushed_anew_is_seen_anew(ward, make_series, study_of):
    (file,) = make_series(24, 1)
    ward.push("storescu", file)
    first = ward.ask(study_of([file])).json()["clinical"]["images"][0]
    dataset = pydicom.dcmread(file)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(file)
    ward.push("storescu", file)
    second = ward.ask(study_of([file])).json()["clinical"]["images"][0]
    assert first["source_sha256"] != second["source_sha256"]


def test_an_image_that_had_to_go_and_comes_back_changed_is_seen_anew(open_ward, peer, make_series, study_of):
    (file,), (other,) = make_series(25, 1), make_series(26, 1)
    room = int(1.5 * file.stat().st_size)
    with open_ward(peer + f'[spool]\nbytes = {room}\nwhen_full = "drop_oldest"\n') as ward:
        ward.push("storescu", file)
        first = ward.ask(study_of([file])).json()["clinical"]["images"][0]
        ward.push("storescu", other)
        assert ward.ask(study_of([file])).status_code == 404
        dataset = pydicom.dcmread(file)
        dataset.PixelData = bytes(len(dataset.PixelData))
        dataset.save_as(file)
        ward.push("storescu", file)
        second = ward.ask(study_of([file])).json()["clinical"]["images"][0]
    assert first["source_sha256"] != second["source_sha256"]


def test_a_full_spool_refuses_what_comes(open_ward, peer, make_series, study_of):
    old, new = make_series(18), make_series(19)
    room = int(3.2 * old[0].stat().st_size)
    with open_ward(peer + f"[spool]\nbytes = {room}\n") as ward:
        assert ward.push("storescu", *old).returncode == 0
        done = ward.push("storescu", *new, more=["-v"])
        assert "OutOfResources" in done.stdout + done.stderr
        assert (ward.kept(study_of(old)), ward.kept(study_of(new))) == (2, 1)
        assert ward.spool.bytes <= room


def test_who_has_not_said_a_word_is_hung_up_on_when_the_server_stops(open_ward, peer):
    """pytest fails where a thread ends with an exception."""
    with open_ward(peer) as ward:
        server = ward.gateway.services.intake._listener._server
        silent = socket.create_connection(("127.0.0.1", ward.port), 5)
        ward.gateway.until(lambda: server.active_associations)
        (association,) = server.active_associations
        ward.gateway.until(lambda: association.dul.state_machine.current_state == "Sta2")
    with silent:
        assert silent.recv(1) == b""
    association.dul.join(5)
    assert not association.dul.is_alive()


def test_so_many_associations_and_no_more(open_ward, peer):
    lines = peer.replace("port = 0", "port = 0\nmax_associations = 1")
    with open_ward(lines) as ward:
        entity = AE("CT1")
        entity.add_requested_context("1.2.840.10008.1.1")
        with contextlib.ExitStack() as silent:
            for _ in range(3):  # they do not say who they are, and take nobody's place
                silent.enter_context(socket.create_connection(("127.0.0.1", ward.port)))
            first = entity.associate("127.0.0.1", ward.port, ae_title="RADSERVE")
            assert first.is_established
            assert "Local Limit Exceeded" in ward.push("echoscu").stderr
            first.release()
            ward.gateway.until(lambda: ward.push("echoscu").returncode == 0)


def test_a_pdu_that_claims_to_be_endless_ends_the_connection(ward):
    with socket.create_connection(("127.0.0.1", ward.port), timeout=5) as peer:
        peer.sendall(struct.pack(">BBL", 1, 0, 2**32 - 1) + bytes(100))
        assert peer.recv(100) == b""
    assert ward.push("echoscu").returncode == 0


def test_what_is_no_data_set_is_not_understood(ward, make_series, study_of, tmp_path):
    (file,) = make_series(20, 1)
    dataset = pydicom.dcmread(file)
    del dataset.StudyInstanceUID
    dataset.save_as(tmp_path / "nowhere.dcm")
    done = ward.push("storescu", tmp_path / "nowhere.dcm", more=["-d"])
    assert "0xc000" in done.stderr.lower()


def test_no_uid_and_no_name_is_logged(ward, make_series, caplog):
    files = make_series(21, PatientName="Xanadu")
    with caplog.at_level(logging.DEBUG):
        ward.push("storescu", *files)
        ward.push("storescu", *files, caller="CT2")
        ward.gateway.http.post("/v1/answers/search", json={"study": "1.2.3.77"})
        dicom = {"content-type": "application/dicom"}
        ward.gateway.http.post("/dicom-web/studies/1.2.3.88", content=files[0].read_bytes(), headers=dicom)
        wanted = "POST /dicom-web/studies/{study} 409"
        ward.gateway.until(lambda: wanted in "".join(record.getMessage() for record in caplog.records))
    # Not the test's own client, nor uvicorn's access log, which is off but for pytest.
    ours = [record for record in caplog.records if not record.name.startswith(("http", "uvicorn.access"))]
    written = "".join(record.getMessage() for record in ours)
    assert "POST /v1/answers/search" in written
    assert "498.77.21" not in written
    assert "Xanadu" not in written
    assert "1.2.3.77" not in written
    assert "1.2.3.88" not in written


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_tls_with_a_certificate_on_either_side(open_ward, peer, make_series, study_of, certificates):
    files, folder = make_series(22), certificates
    tls = '[listener.tls]\ncertificate = "{0}/scp.pem"\nkey = "{0}/scp.key"\nauthority = "{0}/ca.pem"\n'
    patience = ["-ts", "5", "-ta", "5"]
    trust = ["+cf", str(folder / "ca.pem")]
    with open_ward(peer + tls.format(folder)) as ward, socket.create_connection(("127.0.0.1", ward.port)):
        # The connection that says nothing holds nobody up.
        for refused in ([], ["+tla", *trust]):
            assert ward.push("storescu", *files, more=[*refused, *patience]).returncode != 0
            assert ward.kept(study_of(files)) == 0
        known = ["+tls", str(folder / "scu.key"), str(folder / "scu.pem"), *trust]
        done = ward.push("storescu", *files, more=[*known, *patience])
        assert (done.returncode, done.stderr) == (0, "")
        assert ward.kept(study_of(files)) == 2
