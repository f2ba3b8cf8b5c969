"""/dicom-web/workitems: Unified Procedure Steps by UPS-RS (DICOM PS3.18 chapter 11)."""

from fastapi import APIRouter

router = APIRouter(tags=["worklist"])
