"""What is sent is what is shown: the slice, the frame, the window."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radserve_client.orthanc import Orthanc

Grid = NDArray[np.float64]

AT = """async ({ range, points }) => {
  const { viewportGridService, cornerstoneViewportService } = window.services;
  const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportGridService.getActiveViewportId());
  if (range) {
    const { element } = viewport;
    const once = { once: true };
    const drawn = new Promise(done => element.addEventListener('CORNERSTONE_IMAGE_RENDERED', done, once));
    viewport.setProperties({ voiRange: range });
    viewport.render();
    await drawn;
  }
  const { imageData } = viewport.getImageData();
  const brush = viewport.canvas.getContext('2d');
  return points.map(([column, row]) => {
    const [x, y] = viewport.worldToCanvas(imageData.indexToWorld([column, row, 0]));
    return brush.getImageData(Math.round(x * devicePixelRatio), Math.round(y * devicePixelRatio), 1, 1).data[0];
  });
}"""


@pytest.fixture(scope="module")
def room(loaded: Orthanc, furnish: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    with furnish(loaded.dicom_web, pacs_url=loaded.dicom_web) as room:
        yield room


@pytest.fixture(scope="module")
def viewer(room: Any, look: Callable[[str], Any]) -> Any:
    return look(room.url)


def test_the_slice_sent_is_the_slice_shown(viewer, head):
    viewer.open(head)
    for _ in range(3):
        viewer.scroll()
    viewer.until(lambda: "slice 4 of" in viewer.line.text_content())
    shown = viewer.shown()
    answer = viewer.ask("Is there a bleed?")
    (reference,) = viewer.sent()["image_dicom"]
    (seen,) = answer["clinical"]["seen"]
    assert shown["instance"] == head.instance(3), "the viewer sorts the stack as its files are numbered"
    assert (reference["instances"], reference["frames"]) == ([shown["instance"]], [1])
    assert (reference["study"], reference["pacs"]) == (head.uid, "pacs")
    assert (seen["instance"], seen["frame"]) == (shown["instance"], 1)
    assert "window" not in reference, "nobody asked for it"


def test_the_frame_sent_is_the_frame_shown(viewer, many_frames):
    viewer.open(many_frames)
    for _ in range(2):
        viewer.scroll()
    viewer.until(lambda: "frame 3 of 10" in viewer.line.text_content())
    shown = viewer.shown()
    (seen,) = viewer.ask("Which organ is shown?")["clinical"]["seen"]
    (reference,) = viewer.sent()["image_dicom"]
    assert shown["frame"] == 3
    assert (reference["instances"], reference["frames"]) == ([many_frames.instance(0)], [3])
    assert (seen["instance"], seen["frame"]) == (many_frames.instance(0), 3)


def test_a_plane_that_the_viewer_made_is_not_sent_as_a_slice(viewer, volume):
    viewer.open(volume)
    viewer.page.evaluate("window.commandsManager.run('toggleHangingProtocol', { protocolId: 'mpr' })")
    line = viewer.line
    line.and_(viewer.page.get_by_text(re.compile("slice . of 8"))).wait_for()
    assert viewer.shown()["instance"] in [volume.instance(index) for index in range(8)]
    viewer.page.mouse.click(700, 450)
    line.and_(viewer.page.get_by_text("a reconstruction, not a stored frame")).wait_for()
    asked = len(viewer.asked)
    viewer.question.fill("Is there a bleed?")
    viewer.question.press("Enter")
    viewer.panel.get_by_text("There is nothing to ask about: a reconstruction").wait_for()
    assert not any(request.url.endswith("/v1/vqa") for request in viewer.asked[asked:])
    viewer.question.fill("")


WINDOWS = {
    "as the file says": None,
    "soft tissue": (40, 400),
    "narrow": (35, 24),
    "wide": (500, 4000),
    "odd": (-37.25, 101.5),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_my_window_gives_the_pixels_of_the_viewer_on_flat_blocks(room, viewer, blocks, name):
    """Each block is flat, so that no resampling, the viewer's or ours, plays a part: all 256 must agree."""
    open_once(viewer, blocks)
    points = [(32 * column + 16, 32 * row + 16) for row in range(16) for column in range(16)]
    mine, models = compare(room, viewer, points, WINDOWS[name])
    assert len(set(mine)) > 10, "the window shows too little to be compared"
    assert np.abs(mine - models).max() <= 1


def test_an_x_ray_whose_high_values_are_dark_is_shown_so_to_both(room, viewer, negative):
    open_once(viewer, negative)
    points = [(32 * column + 16, 32 * row + 16) for row in range(16) for column in range(16)]
    mine, models = compare(room, viewer, points, (200, 1000))
    lowest, highest = sorted(zip(stored(negative, points), mine, strict=True))[:: len(points) - 1]
    assert (lowest[1], highest[1]) == (255, 0)
    assert np.abs(mine - models).max() <= 1
    assert not viewer.panel.get_by_text("the inversion is not sent").is_visible()


def stored(study: Any, points: list[tuple[int, int]]) -> list[int]:
    pixels = study.header(0).pixel_array
    return [int(pixels[row, column]) for column, row in points]


@pytest.mark.parametrize("name", ["as the file says", "soft tissue", "wide"])
def test_my_window_gives_the_pixels_of_the_viewer_on_a_real_slice(room, viewer, head, name):
    open_once(viewer, head)
    image = head.header(int(viewer.line.text_content().split("slice ")[1].split()[0]) - 1)
    window = WINDOWS[name]
    points = find_flat(image, window or (float(image.WindowCenter), float(image.WindowWidth)))
    mine, models = compare(room, viewer, points, window)
    assert len(points) >= 50
    assert np.abs(mine - models).max() <= 1


def test_a_window_dragged_by_hand_is_sent_as_it_is(room, viewer, blocks):
    open_once(viewer, blocks)
    before = viewer.shown()
    viewer.page.mouse.move(700, 450)
    viewer.page.mouse.down()
    viewer.page.mouse.move(731, 467, steps=5)
    viewer.page.mouse.up()
    viewer.until(lambda: viewer.shown() != before)
    mine, models = compare(room, viewer, [(16 + 32 * step, 16 + 32 * step) for step in range(16)], None)
    shown, window = viewer.shown(), viewer.sent()["image_dicom"][0]["window"]
    black = window["center"] - 0.5 - (window["width"] - 1) / 2  # PS3.3 C.11.2.1.2.1
    white = window["center"] - 0.5 + (window["width"] - 1) / 2
    assert (black, white) == pytest.approx((shown["lower"], shown["upper"]))
    assert np.abs(mine - models).max() <= 1


def test_an_inversion_is_not_sent_and_that_is_said(viewer, blocks):
    open_once(viewer, blocks)
    note = viewer.panel.get_by_text("the inversion is not sent")
    assert not note.is_visible()
    viewer.page.evaluate(INVERT, True)
    note.wait_for()
    viewer.page.evaluate(INVERT, False)
    note.wait_for(state="hidden")


INVERT = """invert => {
  const { viewportGridService, cornerstoneViewportService } = window.services;
  const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportGridService.getActiveViewportId());
  viewport.setProperties({ invert });
  viewport.render();
}"""


def test_under_a_segmentation_it_is_the_image_that_is_asked_about(viewer, segmented):
    """Its pixels are read, too, which the page's policy must not forbid."""
    viewer.open(segmented)
    viewer.page.locator("[data-cy=study-browser-thumbnail-no-image]").dblclick()
    load = viewer.page.get_by_text("LOAD", exact=True)
    load.wait_for()
    viewer.until(lambda: viewer.line.text_content().startswith("CT · 1 image"))
    load.click()
    viewer.until(lambda: viewer.page.evaluate("services.segmentationService.getSegmentations().length"))
    viewer.ask("Is there a bleed?")
    (reference,) = viewer.sent()["image_dicom"]
    assert reference["instances"] == [segmented.instance(0)]
    assert viewer.complaints == []


def open_once(viewer: Any, study: Any) -> None:
    """The page stays as it is between tests of one study."""
    if f"={study.uid}" not in viewer.page.url:
        viewer.open(study)


def compare(
    room: Any, viewer: Any, points: list[tuple[int, int]], window: tuple[float, float] | None
) -> tuple[Grid, Grid]:
    """Grey levels at (column, row) of the image: the viewer's, and those that the engine was given."""
    shown = None
    if window is not None:
        center, width = window
        shown = {"lower": center - 0.5 - (width - 1) / 2, "upper": center - 0.5 + (width - 1) / 2}
    mine = viewer.page.evaluate(AT, {"range": shown, "points": points})
    viewer.panel.get_by_role("switch", name="Use my window").check()
    viewer.ask("Is there a bleed?")
    pixels = room.backend.questions[-1].images[0]
    return np.array(mine, float), np.array([pixels[row, column, 0] for column, row in points], float)


def find_flat(image: Any, window: tuple[float, float]) -> list[tuple[int, int]]:
    """Up to 200 points whose surroundings have one grey level in the window."""
    center, width = window
    values = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    grey = 255 * np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    around = np.lib.stride_tricks.sliding_window_view(grey, (7, 7))
    rows, columns = np.nonzero(around.max((2, 3)) - around.min((2, 3)) < 0.8)
    chosen = np.random.default_rng(1).permutation(len(rows))[:200]
    return [(int(columns[one]) + 3, int(rows[one]) + 3) for one in chosen]
