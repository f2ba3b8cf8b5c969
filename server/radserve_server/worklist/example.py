"""A work item as a requester sends it: the API document, the manual page and the tests show this one."""

from typing import Any

EXAMPLE: dict[str, Any] = {
    "00081195": {"vr": "UI"},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
    "00100020": {"vr": "LO", "Value": ["123456"]},
    "00100030": {"vr": "DA"},
    "00100040": {"vr": "CS"},
    "00081080": {"vr": "LO"},
    "00081084": {"vr": "SQ"},
    "00380010": {"vr": "LO"},
    "00380014": {"vr": "SQ"},
    "0040A370": {"vr": "SQ"},
    "00400400": {"vr": "LT"},
    "00404005": {"vr": "DT", "Value": ["20260101080000+0000"]},
    "00404018": {
        "vr": "SQ",
        "Value": [
            {
                "00080100": {"vr": "SH", "Value": ["answer-questions"]},
                "00080102": {"vr": "SH", "Value": ["99RADSERVE"]},
                "00080104": {"vr": "LO", "Value": ["Answer questions about images"]},
            }
        ],
    },
    "00404021": {
        "vr": "SQ",
        "Value": [
            {
                "0040E020": {"vr": "CS", "Value": ["DICOM"]},
                "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
                "0020000E": {"vr": "UI", "Value": ["1.2.3.4"]},
                "00081199": {
                    "vr": "SQ",
                    "Value": [
                        {
                            "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
                            "00081155": {"vr": "UI", "Value": ["1.2.3.4.5"]},
                        }
                    ],
                },
                "0040E021": {"vr": "SQ", "Value": [{"00080054": {"vr": "AE", "Value": ["ward"]}}]},
            }
        ],
    },
    "00404025": {
        "vr": "SQ",
        "Value": [
            {
                "00080100": {"vr": "SH", "Value": ["radserve"]},
                "00080102": {"vr": "SH", "Value": ["99RADSERVE"]},
                "00080104": {"vr": "LO", "Value": ["radserve"]},
            }
        ],
    },
    "00404026": {"vr": "SQ"},
    "00404027": {"vr": "SQ"},
    "00404041": {"vr": "CS", "Value": ["READY"]},
    "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
    "00741002": {"vr": "SQ"},
    "00741200": {"vr": "CS", "Value": ["MEDIUM"]},
    "00741202": {"vr": "LO"},
    "00741204": {"vr": "LO", "Value": ["Questions on a head CT"]},
    "00741210": {
        "vr": "SQ",
        "Value": [
            {
                "0040A040": {"vr": "CS", "Value": ["TEXT"]},
                "0040A043": {
                    "vr": "SQ",
                    "Value": [
                        {
                            "00080100": {"vr": "SH", "Value": ["question"]},
                            "00080102": {"vr": "SH", "Value": ["99RADSERVE"]},
                            "00080104": {"vr": "LO", "Value": ["Question"]},
                        }
                    ],
                },
                "0040A160": {"vr": "UT", "Value": ["Is there a bleed?"]},
            }
        ],
    },
    "00741216": {"vr": "SQ"},
}
CLAIM: dict[str, Any] = {
    "00081195": {"vr": "UI", "Value": ["2.25.1"]},
    "00741000": {"vr": "CS", "Value": ["IN PROGRESS"]},
}
PROGRESS: dict[str, Any] = {
    "00741002": {"vr": "SQ", "Value": [{"00741004": {"vr": "DS", "Value": [50]}}]},
}
REASON: dict[str, Any] = {"00741238": {"vr": "LT", "Value": ["The study was repeated"]}}
