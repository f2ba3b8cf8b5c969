"""The archive that the demo and tests start."""

import httpx
import pytest
from pydicom.data import get_testdata_file

from radserve_client.errors import RadserveError


def test_it_shows_what_was_put_in_by_dicomweb_and_refuses_what_is_no_dicom(orthanc):
    with open(str(get_testdata_file("CT_small.dcm", download=False)), "rb") as file:
        orthanc.upload(file.read())
    modalities = [series["00080060"]["Value"] for series in httpx.get(f"{orthanc.dicom_web}/series").json()]
    assert ["CT"] in modalities
    with pytest.raises(RadserveError, match="refused"):
        orthanc.upload(b"no DICOM")
