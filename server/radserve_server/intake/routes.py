"""POST /dicom-web/studies: take instances in (STOW-RS), to be asked about as `pacs: intake`."""

from fastapi import APIRouter

router = APIRouter(tags=["intake"])
