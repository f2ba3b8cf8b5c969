"""Real files of every transfer syntax, and all ways of damaging them, the same ones on every run.

The real files are those of the shared collection if it lies beside this checkout, else those that pydicom
brings along.
"""

import io
import random
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from radserve_imaging import ImagePolicy, ImagingError, render

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "data" / "dicom" / "decodable"
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
DEFLATED = "1.2.840.10008.1.2.1.99"
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class Original:
    """A real file of `frames`; `plain` is it with its data set inflated, `pixels` where Pixel Data begins there."""

    name: str
    syntax: str
    data: bytes
    plain: bytes
    meta_end: int
    pixels: int
    frames: int

    @property
    def order(self) -> str:
        return ">" if self.syntax == "1.2.840.10008.1.2.2" else "<"

    @property
    def implicit(self) -> bool:
        return self.syntax == "1.2.840.10008.1.2"

    @property
    def encapsulated(self) -> bool:
        return self.syntax.startswith(("1.2.840.10008.1.2.4", "1.2.840.10008.1.2.5"))

    def pack(self, plain: bytes) -> bytes:
        """A file around a changed data set."""
        if self.syntax != DEFLATED:
            return plain
        return plain[: self.meta_end] + deflate(plain[self.meta_end :])


@dataclass(frozen=True)
class Variant:
    """A damaged file; from one that was `cut`, nothing but the undamaged picture may come."""

    kind: str
    data: bytes
    cut: bool = False


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def read_original(path: Path) -> tuple[Original, str]:
    """A file and its kind: grey, many (frames, or samples), palette."""
    data = path.read_bytes()
    meta_end = 144 + struct.unpack_from("<I", data, 140)[0]
    file = io.BytesIO(data)
    header = pydicom.dcmread(file, stop_before_pixels=True)
    syntax = str(header.file_meta.TransferSyntaxUID)
    plain, pixels = data, file.tell()
    if syntax == DEFLATED:
        plain = data[:meta_end] + zlib.decompress(data[meta_end:], wbits=-zlib.MAX_WBITS)
        pixels = plain.rindex(b"\xe0\x7f\x10\x00")
    frames = int(header.get("NumberOfFrames") or 1)
    many = frames > 1 or header.SamplesPerPixel > 1
    palette = header.PhotometricInterpretation == "PALETTE COLOR"
    kind = "palette" if palette else "many" if many else "grey"
    return Original(path.name, syntax, data, plain, meta_end, pixels, frames), kind


@cache
def originals() -> dict[str, list[Original]]:
    """For each transfer syntax its smallest grey file of 3 kB or more, and the smallest of many frames or in colour.

    And the smallest with a palette. Smaller ones are taken where there is none, larger ones than 1 MB never.
    """
    found: dict[tuple[str, str], Original] = {}
    sizes = {path: path.stat().st_size for path in (CORPUS if CORPUS.exists() else SHIPPED).glob("*.dcm")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(sizes, key=lambda path: (sizes[path] < 3000, sizes[path], path)):
            data = path.read_bytes()
            if len(data) > 1_000_000 or data[128:138] != b"DICM\x02\x00\x00\x00UL" or not shows(data):
                continue
            original, kind = read_original(path)
            known = (original.syntax, kind) in found or (kind == "palette" and kind in {k for _, k in found})
            if not known:
                found[original.syntax, kind] = original
    by_syntax: dict[str, list[Original]] = {}
    for (syntax, _), original in sorted(found.items()):
        by_syntax.setdefault(syntax, []).append(original)
    return by_syntax


def shows(data: bytes) -> bool:
    try:
        render(data, ImagePolicy(width=8, height=8))
    except ImagingError:
        return False
    return True


def damage(original: Original) -> Iterator[Variant]:
    seed = random.Random(original.name)
    yield from cuts(original)
    yield from flips(original, seed)
    yield from lies(original)
    yield from structures(original)
    pixels = encapsulated_pixels(original, seed) if original.encapsulated else native_pixels(original)
    for variant in pixels:
        yield Variant(variant.kind, original.pack(variant.data), variant.cut)


def cuts(original: Original) -> Iterator[Variant]:
    """In the preamble, the file meta information, the header, the pixels, and close to the end."""
    data, size = original.data, len(original.data)
    start = original.meta_end if original.syntax == DEFLATED else original.pixels
    places = {0, 1, 64, 131, 133, 150, original.meta_end - 3, original.meta_end, original.meta_end + 7}
    places |= {start // 3, start // 2, start - 1, start, start + 4, start + 11, start + 13}
    places |= {start + int((size - start) * fraction) for fraction in FRACTIONS}
    places |= {size - 1, size - 2, size - 8, size - 9, size - 16}
    for place in sorted(places):
        yield Variant(f"cut at {place} of {size}", data[:place], cut=True)


def flips(original: Original, seed: random.Random) -> Iterator[Variant]:
    """One to twenty bytes changed, or a few left out, in the header and behind it."""
    start = original.meta_end if original.syntax == DEFLATED else original.pixels
    for i in range(30):
        low, high = (132, start) if i % 3 == 0 else (start, len(original.data))
        damaged = bytearray(original.data)
        for _ in range(seed.choice((1, 1, 3, 20))):
            at = seed.randrange(low, high)
            damaged[at] = seed.choice((damaged[at] ^ 1 << seed.randrange(8), 0, 255, seed.randrange(256)))
        if i % 6 == 5:
            at = seed.randrange(low, high)
            del damaged[at : at + seed.randrange(1, 9)]
        yield Variant(f"flip {i} between {low} and {high}", bytes(damaged))


LIES: dict[str, tuple[object, ...]] = {
    "Rows": (0, 1, 1021, 65535, None),
    "Columns": (0, 1, 1021, 65535),
    "NumberOfFrames": ("0", "-1", "2", "20000", "2000000000", "x"),
    "SamplesPerPixel": (0, 1, 3, 4, 65535),
    "BitsAllocated": (0, 1, 8, 12, 16, 32, 64, 65535),
    "BitsStored": (0, 1, 7, 17, 65535),
    "HighBit": (0, 65535),
    "PixelRepresentation": (0, 1, 65535),
    "PlanarConfiguration": (0, 1, 65535),
    "PhotometricInterpretation": ("PALETTE COLOR", "YBR_FULL_422", "RGB", "MONOCHROME1", "", "\\" * 99),
    "RescaleSlope": ("0", "nan", "1e999", "-1e300"),
    "WindowWidth": ("0", "-1", "inf", "1\\2"),
    "PixelAspectRatio": ("0\\0", "1\\1000000000", "-1\\1", "1"),
}


def lies(original: Original) -> Iterator[Variant]:
    """An attribute that says what is not so; not every lie does harm."""
    for keyword, values in LIES.items():
        for value in values:
            yield Variant(f"{keyword} is {value!r:.30}", edit(original, {keyword: value}))
    for descriptor in ((0, 0, 16), (1, 65535, 16), (65535, 65535, 8), (2, 0, 255)):
        first = struct.pack(f"{original.order}3H", *descriptor)
        table = b"".join(
            (item_header(original, 0x3002, "US", 6), first, item_header(original, 0x3006, "OW", 4), b"1234")
        )
        item = struct.pack(f"{original.order}HHI", 0xFFFE, 0xE000, len(table)) + table
        for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
            yield Variant(f"{keyword} of {descriptor}", edit(original, {keyword: item}))
        palette: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
        for colour in ("Red", "Green", "Blue"):
            palette[f"{colour}PaletteColorLookupTableDescriptor"] = first
            palette[f"{colour}PaletteColorLookupTableData"] = b"1234"
        yield Variant(f"a palette of {descriptor}", edit(original, palette))


def item_header(original: Original, element: int, vr: str, length: int) -> bytes:
    """Of an element of group 0028."""
    tag = struct.pack(f"{original.order}HH", 0x0028, element)
    if original.implicit:
        return tag + struct.pack("<I", length)
    if vr == "US":
        return tag + b"US" + struct.pack(f"{original.order}H", length)
    return tag + vr.encode() + b"\0\0" + struct.pack(f"{original.order}I", length)


def edit(original: Original, values: dict[str, object]) -> bytes:
    """With attributes set, or left out where None, as raw bytes: pydicom would not write a lie."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(original.data))
        for keyword, value in values.items():
            tag = BaseTag(tag_for_keyword(keyword) or 0)
            if value is None:
                del dataset[tag]
                continue
            raw = struct.pack(f"{original.order}H", value) if isinstance(value, int) else value
            raw = raw if isinstance(raw, bytes) else str(raw).encode()
            raw += b" " * (len(raw) % 2)
            vr = dictionary_VR(tag)[:2]
            little = original.order == "<"
            dataset[tag] = RawDataElement(tag, vr, len(raw), raw, 0, original.implicit, little)
        out = io.BytesIO()
        dataset.save_as(out, enforce_file_format=False)
    return out.getvalue()


def structures(original: Original) -> Iterator[Variant]:
    """What inflates, nests, or goes on without end."""
    meta, body = original.plain[: original.meta_end], original.plain[original.meta_end :]
    sequence, item = struct.pack(f"{original.order}HH", 0x0008, 0x1140), b"\xfe\xff\x00\xe0"
    item = item if original.order == "<" else b"\xff\xfe\xe0\x00"
    undefined = b"\xff" * 4
    level = sequence + (b"" if original.implicit else b"SQ\0\0") + undefined + item + undefined
    yield Variant("15,000 nested sequences", original.pack(meta + level * 15_000 + body))
    yield Variant("a sequence without end", original.pack(meta + level + body))
    as_deflated = rename_syntax(meta, DEFLATED)
    yield Variant("a deflate bomb", as_deflated + bomb())
    yield Variant("a deflated file that is none", as_deflated + body)
    yield Variant("a syntax nobody knows", rename_syntax(meta, "1.2.840.10008.1.2.9.9") + body)
    natively = "1.2.840.10008.1.2.1" if original.encapsulated else "1.2.840.10008.1.2.4.90"
    yield Variant("another syntax", rename_syntax(meta, natively) + body)


def rename_syntax(meta: bytes, syntax: str) -> bytes:
    at = meta.index(b"\x02\x00\x10\x00UI")
    (length,) = struct.unpack_from("<H", meta, at + 6)
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    renamed = meta[: at + 6] + struct.pack("<H", len(value)) + value + meta[at + 8 + length :]
    return renamed[:140] + struct.pack("<I", len(renamed) - 144) + renamed[144:]


@cache
def bomb() -> bytes:
    """2 MB that inflate to 2 GiB: after a full flush, the same block may follow as often as one likes."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = packer.compress(struct.pack("<HH2sHI", 0x0008, 0x0001, b"OB", 0, 2**31 - 2))
    head += packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**23)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * 256 + packer.flush()


def native_pixels(original: Original) -> Iterator[Variant]:
    """A length that lies, or a shorter one that does not, about too few pixels."""
    plain, size = original.plain, 4
    at = original.pixels + (4 if original.implicit else 8)
    start = at + size
    length = len(plain) - start
    for lie in (0, 1, 2, length // 2, length - 2, length + 2, 2 * length, UNDEFINED - 1, UNDEFINED):
        yield Variant(f"Pixel Data of {lie} bytes", _with_length(original, at, lie, plain[start:]))
    for fraction in FRACTIONS:
        kept = int(length * fraction) // 2 * 2
        shortened = _with_length(original, at, kept, plain[start : start + kept])
        yield Variant(f"{fraction} of the pixels", shortened, cut=True)


def _with_length(original: Original, at: int, length: int, pixels: bytes) -> bytes:
    return original.plain[:at] + struct.pack(f"{original.order}I", length) + pixels


def encapsulated_pixels(original: Original, seed: random.Random) -> Iterator[Variant]:
    """Fragments and offset tables that lie, and codestreams cut off inside fragments that do not."""
    head, items = original.plain[: original.pixels + 12], read_items(original)
    table, fragments = items[0], items[1:]
    join = partial(join_items, head)
    whole = (
        len(fragments) == original.frames
    )  # what is lost inside a frame of many fragments, no marker tells
    shown = (original.frames - 1) // 2 if whole else 0
    for lie in (0, 1, len(fragments[0]) - 2, len(fragments[0]) + 2, 2**24, 2**31, UNDEFINED):
        yield Variant(f"a fragment of {lie} bytes", join(items, lies={1: lie}))
        yield Variant(f"the last fragment of {lie} bytes", join(items, lies={len(items) - 1: lie}))
    for offsets in ([4], [0, 0], [2**32 - 2] * 5, [seed.randrange(2**20) for _ in fragments]):
        lying = struct.pack(f"<{len(offsets)}I", *offsets)
        yield Variant(f"an offset table of {offsets[:2]}", join([lying, *fragments]))
    yield Variant("no delimiter", join(items)[:-8])
    yield Variant("no offset table", join(fragments))
    yield Variant("no fragment", join([table]), cut=True)
    yield Variant("the last fragment dropped", join(items[:-1]), cut=True)
    yield Variant("the middle fragment dropped", join(items[: shown + 1] + items[shown + 2 :]), cut=True)
    yield Variant("the first fragment twice", join([table, fragments[0], *fragments]))
    for kind, damaged, cut in codestreams(fragments[shown], original.syntax):
        yield Variant(
            kind, join([table, *fragments[:shown], damaged, *fragments[shown + 1 :]]), cut and whole
        )


def read_items(original: Original) -> list[bytes]:
    """The offset table and the fragments; those of a single frame joined."""
    items, at, plain = [], original.pixels + 12, original.plain
    while plain[at : at + 4] == b"\xfe\xff\x00\xe0":
        (length,) = struct.unpack_from("<I", plain, at + 4)
        items.append(plain[at + 8 : at + 8 + length])
        at += 8 + length
    return items if original.frames > 1 else [items[0], b"".join(items[1:])]


def join_items(head: bytes, items: list[bytes], lies: dict[int, int] | None = None) -> bytes:
    lengths = {i: len(item) for i, item in enumerate(items)} | (lies or {})
    pieces = [b"\xfe\xff\x00\xe0" + struct.pack("<I", lengths[i]) + item for i, item in enumerate(items)]
    return b"".join([head, *pieces, b"\xfe\xff\xdd\xe0\0\0\0\0"])


def codestreams(stream: bytes, syntax: str) -> Iterator[tuple[str, bytes, bool]]:
    """The codestream of one frame, cut, hollowed out, or with another header."""
    size = len(stream)
    for kept in (*(int(size * fraction) for fraction in FRACTIONS), size - 2, size - 3, size - 9):
        yield f"{kept} of a codestream of {size}", stream[:kept] + b"\0" * (kept % 2), True
    for fraction in (0.3, 0.6, 0.9):
        hollow = stream[: int(size * fraction)] + stream[-2 - size // 20 :]
        yield f"a codestream without its middle after {fraction}", hollow, True
    if syntax.endswith(".5"):
        headers = [(15, [64]), (0, []), (2**31, [64]), (1, [2**32 - 1]), (2, [64, 64]), (3, [64, 9, 2**20])]
        for count, offsets in headers:
            table = struct.pack(f"<{1 + len(offsets)}I", count, *offsets).ljust(64, b"\0")
            yield f"RLE segments {count} {offsets}", table + stream[64:], False
        return
    at, layout = find_size(stream)
    for width, height in ((65535, 65535), (65535, 1), (0, 0), (1, 65535)):
        lying = bytearray(stream)
        struct.pack_into(layout, lying, at, *((height, width) if layout == ">HH" else (width, height)))
        yield f"a codestream of {width} x {height}", bytes(lying), False


def find_size(stream: bytes) -> tuple[int, str]:
    """Where the codestream states its size, and how: SIZ of JPEG 2000, SOF of JPEG."""
    if stream.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        return stream.index(b"\xff\x4f\xff\x51") + 8, ">II"
    starts = [stream.find(bytes((0xFF, marker)), 2) for marker in (0xC0, 0xC1, 0xC2, 0xC3, 0xF7)]
    return min(start for start in starts if start > 0) + 5, ">HH"


@pytest.fixture(scope="session", params=sorted(originals()))
def files(request) -> list[tuple[Original, list[Variant]]]:
    """The real files of one transfer syntax, each with its damaged variants."""
    return [(original, list(damage(original))) for original in originals()[request.param]]


@pytest.fixture(scope="session")
def syntaxes() -> tuple[int, int]:
    """How many transfer syntaxes there are files of, and how many there must be."""
    return len(originals()), 15 if CORPUS.exists() else 12
