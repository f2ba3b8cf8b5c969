"""DICOM's DT values (PS3.5 6.2): written in UTC with their offset, read with the offset or in this machine's zone."""

import re
from datetime import UTC, datetime, timedelta, timezone

_DT = re.compile(
    r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.(\d{1,6}))?(?:([+-])(\d\d)(\d\d))?", re.ASCII
)


def write_time(unix_s: float) -> str:
    """To the millisecond."""
    moment = datetime.fromtimestamp(unix_s, UTC)
    return f"{moment:%Y%m%d%H%M%S}.{moment.microsecond // 1000:03d}+0000"


def read_time(value: str) -> float:
    """Unix seconds of the earliest moment that a value may mean; raises ValueError."""
    match = _DT.fullmatch(value.strip())
    if match is None:
        raise ValueError("no DT value")
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    moment = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0))
    moment += timedelta(seconds=int(second or 0), microseconds=int((fraction or "0").ljust(6, "0")))
    if sign is None:
        return moment.timestamp()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return moment.replace(tzinfo=timezone(-offset if sign == "-" else offset)).timestamp()
