"""OHIF's app-config.js: one data source, which is this server itself, and radserve's panel on the right."""

import json
from typing import Any

PANEL = "/radserve/panel.mjs"
_PANEL_ID = "radserve.panelModule.ask"
_MODE = "@ohif/mode-longitudinal"
_DICOM_WEB = "/dicom-web"


def write_app_config(pacs_name: str) -> str:
    """The script that OHIF 3.13.2 reads its configuration from; it names no address but its own."""
    config = json.dumps(_config(pacs_name), indent=2, ensure_ascii=True).replace("</", "<\\/")
    return f"""window.config = {config};
for (const source of window.config.dataSources) {{
  const at = source.configuration;
  for (const root of ["qidoRoot", "wadoRoot", "wadoUriRoot"]) at[root] = window.location.origin + at[root];
  // An archive may name its own address in its answers; the browser reaches it through this server alone.
  at.bulkDataURI.transform = (uri) => uri.replace(/^https?:\\/\\/.*?(?=\\/studies\\/)/, at.wadoRoot);
}}
"""


def _config(pacs_name: str) -> dict[str, Any]:
    return {
        "routerBasename": None,
        "extensions": [PANEL],
        "modes": [],
        "customizationService": {"ohif.tours": {"$set": []}},  # a tour would lie over image and panel
        "showStudyList": True,
        "groupEnabledModesFirst": True,
        "maxNumberOfWebWorkers": 3,
        "showWarningMessageForCrossOrigin": False,
        "showCPUFallbackMessage": True,
        "showLoadingIndicator": True,
        "strictZSpacingForVolumeViewport": True,
        "investigationalUseDialog": {"option": "configure", "days": 30},
        # A browser opens six connections to an address: some are left for questions while images are fetched.
        "maxNumRequests": {"interaction": 20, "thumbnail": 3, "prefetch": 4},
        "defaultDataSourceName": "pacs",
        "dataSources": [_data_source(pacs_name)],
        "modesConfiguration": {_MODE: _with_panel()},
    }


def _data_source(pacs_name: str) -> dict[str, Any]:
    return {
        "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
        "sourceName": "pacs",
        "configuration": {
            "friendlyName": pacs_name,
            "name": pacs_name,
            "qidoRoot": _DICOM_WEB,
            "wadoRoot": _DICOM_WEB,
            "wadoUriRoot": _DICOM_WEB,
            "qidoSupportsIncludeField": False,
            "imageRendering": "wadors",
            "thumbnailRendering": "wadors",
            "enableStudyLazyLoad": True,
            "supportsFuzzyMatching": False,
            "supportsWildcard": True,
            "staticWado": False,
            "singlepart": "bulkdata,video",
            "omitQuotationForMultipartRequest": True,
            "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
        },
    }


def _with_panel() -> dict[str, Any]:
    """immutability-helper's commands: the panel comes first on the right, and is open."""
    props = {"rightPanels": {"$unshift": [_PANEL_ID]}, "rightPanelClosed": {"$set": False}}
    return {"routes": {"0": {"layoutInstance": {"props": props}}}}
