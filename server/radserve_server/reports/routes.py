"""POST /v1/reports: an answer as a DICOM SR and a FHIR DiagnosticReport."""

from fastapi import APIRouter

router = APIRouter(tags=["reports"])
