"""What a request carries and what it wishes, joined to what the renderer is to do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from radserve_imaging import CT_PRESETS, ImagePolicy, ImagingError, Reading, SliceChoice, Window, plan_stack
from radserve_server.conversation import ArchiveImages
from radserve_server.disconnect import gather_or_cancel
from radserve_server.errors import ImageRefused, InvalidRequest
from radserve_server.image_store import ImageStore
from radserve_server.pacs.archive import Archives
from radserve_server.pacs.finding import Finder
from radserve_server.pacs.tally import Tally
from radserve_server.pictures import DICOM, Picture
from radserve_server.rendering import Source
from radserve_server.schemas import DicomReference, ReadingWish, WindowWish
from radserve_server.series_store import SERIES_SCHEME, SeriesStore, StoredSeries

_NO_READING = Reading()


@dataclass(frozen=True, slots=True)
class SeriesPicture:
    """A series in a question; `param` is the request's field it came in."""

    series: StoredSeries
    param: str
    media_type: str = DICOM


Shown = Picture | SeriesPicture | ArchiveImages


@dataclass(frozen=True, slots=True)
class SourceReader:
    """Finds what one caller uploaded, and plans series by one engine's policy."""

    images: ImageStore
    series: SeriesStore
    owner: str
    policy: ImagePolicy
    archives: Archives

    def find_image(self, image_id: str, param: str) -> Picture:
        """An uploaded image; raises NotFound."""
        image = self.images.get(self.owner, image_id, param)
        return Picture(image.image_id, image.media_type, image.data, param)

    def find_series(self, series_id: str, param: str) -> SeriesPicture:
        """A series made before; raises NotFound."""
        return SeriesPicture(self.series.get(self.owner, series_id.removeprefix(SERIES_SCHEME), param), param)

    async def read_all(
        self,
        pictures: Sequence[Picture | SeriesPicture],
        references: Sequence[DicomReference],
        wish: ReadingWish | None,
    ) -> tuple[Source, ...]:
        """The sources of uploads, then of what the references name in archives."""
        named = [
            ArchiveImages(reference, f"image_dicom.{number}") for number, reference in enumerate(references)
        ]
        found = await self.read_each([*pictures, *named], wish)
        return tuple(source for several in found for source in several)

    async def read_each(self, shown: Sequence[Shown], wish: ReadingWish | None) -> list[tuple[Source, ...]]:
        """The sources of each: several of what an archive holds, which is found but not fetched yet.

        The wish applies to the DICOM images, or to all where there is none, so that it is never ignored.
        """
        if wish is not None and wish.is_empty():
            wish = None
        if wish is not None and not shown:
            raise InvalidRequest("how to read images was said, but there is no image", param="clinical")
        everywhere = not any(_is_dicom(one) for one in shown)
        tally = Tally()
        return await gather_or_cancel(
            *(self._read(one, wish if everywhere or _is_dicom(one) else None, tally) for one in shown)
        )

    async def _read(self, one: Shown, wish: ReadingWish | None, tally: Tally) -> tuple[Source, ...]:
        if not isinstance(one, ArchiveImages):
            return (self._source(one, wish),)
        reading, choice = self._wished(wish)
        reference = one.reference
        if reference.window is not None:
            reading = replace(reading, window=_window(reference))
        state = None if wish is None else wish.presentation_state
        finder = Finder(self.policy, reading, state, choice, one.param, tally)
        return await finder.find(self.archives.get(reference.pacs, f"{one.param}.pacs"), reference)

    def _source(self, picture: Picture | SeriesPicture, wish: ReadingWish | None) -> Source:
        state = None if wish is None else wish.presentation_state
        reading, choice = self._wished(wish)
        if isinstance(picture, Picture):
            return Source(picture.image_id, (picture.data,), reading, picture.param, state, choice)
        return self._series_source(picture, reading, state, choice)

    def _wished(self, wish: ReadingWish | None) -> tuple[Reading, SliceChoice | None]:
        if wish is None:
            return _NO_READING, None
        state = wish.presentation_state
        state_data = None if state is None else self.find_image(state, "presentation_state").data
        return Reading(wish.frame, _window(wish), bool(wish.overlays), state_data), _choice(wish)

    def _series_source(
        self, picture: SeriesPicture, reading: Reading, state: str | None, choice: SliceChoice | None
    ) -> Source:
        series, param = picture.series, picture.param
        if reading.frame is not None:
            raise InvalidRequest("a series has slices, not frames: use slices", param="frame")
        try:
            plan = plan_stack(series.stack, self.policy, choice)
        except ImagingError as error:
            raise ImageRefused(str(error), code=error.code, param="slices") from None
        parts = tuple(self.find_image(series.image_ids[file], param).data for file in plan.files())
        return Source(series.series_id, parts, reading, param, state, choice, plan)


def _is_dicom(one: Shown) -> bool:
    return isinstance(one, ArchiveImages) or one.media_type == DICOM


def _window(wish: ReadingWish | DicomReference) -> Window | None:
    if wish.window is None:
        return None
    if not isinstance(wish.window, WindowWish):
        return CT_PRESETS[wish.window]
    try:
        return Window(wish.window.center, wish.window.width, wish.window.function)
    except ImagingError as error:
        raise InvalidRequest(str(error), code=error.code, param="window") from None


def _choice(wish: ReadingWish) -> SliceChoice | None:
    if wish.slices is None:
        return None
    try:
        return SliceChoice.from_json(wish.slices.model_dump(exclude_none=True))
    except ImagingError as error:
        raise InvalidRequest(str(error), code="invalid_slices", param="slices") from None
