"""A work item about a real archive: images by WADO-RS address, the report where the item says it is."""

import io

import httpx
import pydicom
from pydicom import Dataset
from pydicom.uid import generate_uid

from radserve_server.fake import FakeBackend


def test_a_whole_series_of_an_archive_is_asked_about_and_the_report_is_retrieved(
    start, orthanc, ct, speak, item
):
    study, series = generate_uid(), generate_uid()
    references = []
    for number in range(6):  # more than the engine takes one by one: all of a series is the series
        instance = pydicom.dcmread(io.BytesIO(ct))
        instance.StudyInstanceUID, instance.SeriesInstanceUID = study, series
        instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        x, y, _ = instance.ImagePositionPatient
        instance.ImagePositionPatient = [x, y, 5 * number]
        out = io.BytesIO()
        instance.save_as(out)
        orthanc.upload(out.getvalue())
        reference = Dataset()
        reference.ReferencedSOPClassUID = instance.SOPClassUID
        reference.ReferencedSOPInstanceUID = instance.SOPInstanceUID
        references.append(reference)
    source, way = Dataset(), Dataset()
    way.RetrieveURL = f"{orthanc.dicom_web}/studies/{study}/series/{series}"
    source.TypeOfInstances, source.StudyInstanceUID, source.SeriesInstanceUID = "DICOM", study, series
    source.ReferencedSOPSequence, source.WADORSRetrievalSequence = references, [way]
    with start(FakeBackend(), pacs_url=orthanc.dicom_web) as gateway:
        worklist = speak(gateway.http)
        uid = worklist.schedule(item(InputInformationSequence=[source], PatientID=instance.PatientID))
        gateway.until(lambda: worklist.state(uid) in ("COMPLETED", "CANCELED"))
        done = worklist.retrieve(uid)
        assert done.ProcedureStepState == "COMPLETED", done
        (output,) = done.UnifiedProcedureStepPerformedProcedureSequence[0].OutputInformationSequence
        address = output.WADORSRetrievalSequence[0].RetrieveURL
        (found,) = httpx.get(f"{address}/instances", headers={"accept": "application/dicom+json"}).json()
        assert found["00080018"]["Value"] == [output.ReferencedSOPSequence[0].ReferencedSOPInstanceUID]
        assert found["00080060"]["Value"] == ["SR"]
        some = item(InputInformationSequence=[source], PatientID=instance.PatientID)
        del some["00404021"]["Value"][0]["00081199"]["Value"][5]
        part = worklist.schedule(some)
        gateway.until(lambda: worklist.state(part) == "CANCELED")
        (why,) = worklist.retrieve(part).ProcedureStepProgressInformationSequence
        assert "(0008,1199)" in why.ReasonForCancellation and "larger series" in why.ReasonForCancellation
        way.RetrieveURL = f"{orthanc.dicom_web}.example.org/studies/{study}"
        other = worklist.create(item(InputInformationSequence=[source], PatientID=instance.PatientID))
        assert (other.status_code, other.json()["error"]["param"]) == (400, "WADORSRetrievalSequence")
