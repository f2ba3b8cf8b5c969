"""The markers of JPEG 2000 and HTJ2K, from SOC to EOC (ITU-T T.800 annex A).

Each tile-part tells its length, so the walk from one to the next must end exactly at EOC, and must have met
every tile: bytes lost or added anywhere show, without decoding.
"""

import struct
from dataclasses import dataclass

from radserve_imaging.codestream import SOC, Codestream, cut_off
from radserve_imaging.errors import CorruptPixelDataError

JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "

_EOC, _SIZ, _COD, _COC, _SOT, _SOD = 0xFFD9, 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93
_MAX_TILES = 65_535  # A.4.2: a tile's index has 16 bits
_MAX_MARKERS = 500_000


@dataclass(frozen=True, slots=True)
class _Header:
    """The SIZ segment: the image's area on the reference grid, and the tiles."""

    width: int
    height: int
    depth: int
    components: int
    tiles: int


def read_jpeg2000(frame: bytes) -> Codestream:
    """Walk a codestream, in a JP2 container or bare; raises CorruptPixelDataError."""
    start = 0 if frame.startswith(SOC) else _find_codestream(frame)
    header = _read_siz(frame, start)
    walker = _Walker(frame, header)
    tiles = walker.walk(start + 2)
    if len(tiles) != header.tiles:
        raise CorruptPixelDataError(f"the JPEG 2000 frame has {len(tiles):,} of its {header.tiles:,} tiles")
    return _describe(header, walker.styles)


def _read_siz(frame: bytes, start: int) -> _Header:
    if len(frame) < start + 45:
        raise CorruptPixelDataError("the compressed frame ends inside JPEG 2000's SIZ segment")
    x1, y1, x0, y0, tile_width, tile_height, tile_x, tile_y = struct.unpack_from(">8I", frame, start + 8)
    (components,) = struct.unpack_from(">H", frame, start + 40)
    depth = frame[start + 42]
    declared = frame[start + 42 : start + 42 + 3 * components]
    if components == 0 or declared != bytes((depth, 1, 1)) * components:
        raise CorruptPixelDataError("the components of the JPEG 2000 frame differ in depth or sampling")
    if not tile_width or not tile_height or not tile_x <= x0 < x1 or not tile_y <= y0 < y1:
        raise CorruptPixelDataError("the JPEG 2000 frame declares impossible tiles")
    tiles = -(-(x1 - tile_x) // tile_width) * -(-(y1 - tile_y) // tile_height)
    if tiles > _MAX_TILES:
        raise CorruptPixelDataError("the JPEG 2000 frame declares impossible tiles")
    return _Header(x1 - x0, y1 - y0, depth, components, tiles)


class _Walker:
    """Walks the markers of one codestream, at most `_MAX_MARKERS`; `styles` are the coding styles that it met."""

    def __init__(self, frame: bytes, header: _Header) -> None:
        self.styles: list[bytes] = []
        self._frame = frame
        self._header = header
        self._budget = _MAX_MARKERS

    def walk(self, position: int) -> set[int]:
        """From the SIZ segment to EOC; gives the indices of the tiles on the way."""
        tiles = set()
        position = self._walk_header(position, _SOT)
        while (marker := self._marker(position)) != _EOC:
            if marker != _SOT:
                raise CorruptPixelDataError(
                    "the tile-parts of the JPEG 2000 frame do not lead from one to the next: bytes are missing"
                )
            tile, position = self._walk_tile_part(position)
            tiles.add(tile)
        return tiles

    def _walk_header(self, position: int, last: int) -> int:
        """Where the marker `last` stands that ends a main or tile-part header; coding styles are noted."""
        while (marker := self._marker(position)) != last:
            length = int.from_bytes(self._frame[position + 2 : position + 4], "big")
            if marker < 0xFF30 or marker == _EOC or length < 2:
                raise CorruptPixelDataError(f"the JPEG 2000 frame has no marker at byte {position:,}")
            segment = self._frame[position + 4 : position + 2 + length]
            if (
                marker == _COD
            ):  # A.6.1: style, progression, layers (2 bytes), colour transform, then levels and so on
                self.styles.append(segment[5:10])
            elif marker == _COC:  # A.6.2: the component's number, one byte up to 256 of them
                self.styles.append(segment[2 if self._header.components < 257 else 3 :][:5])
            position += 2 + length
        return position

    def _walk_tile_part(self, position: int) -> tuple[int, int]:
        """The tile's index, and where the next tile-part or EOC must stand (A.4.2)."""
        frame = self._frame
        if position + 12 > len(frame):
            raise cut_off()
        length, tile, size = struct.unpack_from(">HHI", frame, position + 2)
        end = position + size if size else frame.rfind(b"\xff\xd9")
        if length != 10 or tile >= self._header.tiles or end < position + 14:
            raise CorruptPixelDataError("a tile-part header of the JPEG 2000 frame makes no sense")
        if end + 2 > len(frame):
            raise cut_off()
        if self._walk_header(position + 12, _SOD) + 2 > end:
            raise CorruptPixelDataError("a tile-part of the JPEG 2000 frame is shorter than its header")
        return tile, end

    def _marker(self, position: int) -> int:
        self._budget -= 1
        if self._budget < 0:
            raise CorruptPixelDataError(f"the JPEG 2000 frame has more than {_MAX_MARKERS:,} markers")
        if position + 2 > len(self._frame):
            raise cut_off()
        return self._frame[position] << 8 | self._frame[position + 1]


def _describe(header: _Header, styles: list[bytes]) -> Codestream:
    """`levels` and `lossy` by the coding styles of all tiles and components (A.6.1, table A.20)."""
    if not styles or any(len(style) < 5 for style in styles):
        raise CorruptPixelDataError("the JPEG 2000 frame has no coding style (COD)")
    return Codestream(
        width=header.width,
        height=header.height,
        bits=(header.depth & 0x7F) + 1,
        signed=bool(header.depth & 0x80),
        components=header.components,
        lossy=any(style[4] == 0 for style in styles),
        levels=min(style[0] for style in styles),
    )


def _find_codestream(frame: bytes) -> int:
    position = frame.find(SOC) if frame.startswith(JP2_SIGNATURE) else -1
    if position < 0:
        raise CorruptPixelDataError("the compressed frame does not start with JPEG 2000's SOC marker")
    return position
