"""multipart/related, however it is cut into pieces on the way."""

import pytest

from radserve_server.pacs.related import PartTooLarge, RelatedError, RelatedReader, write_related

KIND = 'multipart/related; type="application/dicom"; boundary="b-1"'
PARTS = [b"first\r\n--b-", b"", bytes(range(256)) * 5]


def read(message, size, max_bytes=10_000, max_parts=10):
    reader = RelatedReader(KIND, max_bytes, max_parts)
    found = []
    for start in range(0, len(message), size):
        found += reader.feed(message[start : start + size])
    reader.finish()
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
def test_the_parts_are_the_same_however_they_arrive(size):
    found = read(write_related(PARTS, "b-1"), size)
    assert [part.data for part in found] == PARTS
    assert {part.media_type for part in found} == {"application/dicom"}


def test_what_others_write_is_read():
    """A preamble, other headers, padding after the boundary, an epilogue."""
    message = (
        b"preamble\r\n--b-1  \r\nMIME-Version: 1.0\r\ncontent-type:  Application/DICOM; transfer-syntax=1.2\r\n"
        b"Content-Length: 4\r\n\r\nDICM\r\n--b-1--\r\nepilogue --b-1"
    )
    (part,) = read(message, 5)
    assert (part.media_type, part.data) == ("application/dicom", b"DICM")


def test_no_cut_off_message_is_taken_for_whole():
    """At every byte before the closing boundary's last."""
    message = write_related(PARTS[2:], "b-1")
    for end in range(len(message) - len(b"\r\n")):
        with pytest.raises(RelatedError):
            read(message[:end], 64)


def test_a_part_over_the_limit_is_refused_while_it_arrives():
    reader = RelatedReader(KIND, 1000)
    reader.feed(b"--b-1\r\nContent-Type: application/dicom\r\n\r\n")
    with pytest.raises(PartTooLarge):
        for _ in range(100):
            reader.feed(bytes(1000))


NOT_RELATED = [
    "",
    "application/dicom",
    "multipart/related",
    "multipart/mixed; boundary=b",
    f"multipart/related; boundary={'b' * 129}",
]


@pytest.mark.parametrize("kind", NOT_RELATED)
def test_what_is_no_multipart_is_refused_by_its_content_type(kind):
    with pytest.raises(RelatedError):
        RelatedReader(kind, 1000)


def test_more_parts_than_asked_for_are_refused():
    with pytest.raises(RelatedError):
        read(write_related(PARTS, "b-1"), 64, max_parts=2)
