"""The archive that the demo and tests start."""

from pathlib import Path

import httpx
import pytest
from pydicom.data import get_testdata_file

from radserve_client.errors import RadserveError
from radserve_client.studies import find_files, load


def test_it_shows_what_was_put_in_by_dicomweb_and_refuses_what_is_no_dicom(orthanc):
    with open(str(get_testdata_file("CT_small.dcm", download=False)), "rb") as file:
        orthanc.upload(file.read())
    modalities = [series["00080060"]["Value"] for series in httpx.get(f"{orthanc.dicom_web}/series").json()]
    assert ["CT"] in modalities
    with pytest.raises(RadserveError, match="refused"):
        orthanc.upload(b"no DICOM")


def test_a_file_that_is_cut_off_is_left_out_and_named(orthanc, tmp_path, capsys):
    data = Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()
    (tmp_path / "whole.dcm").write_bytes(data)
    (tmp_path / "cut.dcm").write_bytes(data[:-20_000])
    assert len(load(orthanc, find_files(tmp_path))) == 1
    assert "cut.dcm: Orthanc refused" in capsys.readouterr().err
    (tmp_path / "whole.dcm").unlink()
    with pytest.raises(RadserveError, match="no study"):
        load(orthanc, find_files(tmp_path))
