"""POST /v1/reports: an answer as a DICOM SR and a FHIR DiagnosticReport."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from radserve_server.auth import Caller
from radserve_server.bodies import parse_json, read_body, require_json
from radserve_server.documentation import REPORT
from radserve_server.pictures import DICOM
from radserve_server.reports.filing import file_report
from radserve_server.reports.report_schema import ReportRequest
from radserve_server.services import services_of

router = APIRouter(tags=["reports"])


@router.post("/v1/reports", **REPORT)
async def write_report(request: Request, caller: Caller) -> Response:
    """File an answer as a draft report in an archive; with `Accept: application/dicom`, get the SR itself.

    201 if it was stored now; 200 if it was stored before, or is not to be stored.
    """
    services = services_of(request)
    require_json(request)
    body = await read_body(request, services.settings.max_body_bytes, services.settings.body_timeout_s)
    report = await file_report(services, caller, parse_json(ReportRequest, body))
    status = 201 if report.stored_to is not None and not report.already_filed else 200
    if DICOM in request.headers.get("accept", ""):
        return Response(report.data, status, media_type=DICOM)
    return JSONResponse(report.to_json(), status)
