"""The panel's plain parts, each run in the browser by itself."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

STREAM = (
    'event: delta\ndata: {"delta": "Größe ± 3 μm"}\n\n: alive\n\n'
    'event: answer\ndata: {"a":\ndata: 1}\n\ndata: x\n\nevent: cut\ndata: off'
)
EVENTS = [
    {"event": "delta", "data": '{"delta": "Größe ± 3 μm"}'},
    {"event": "answer", "data": '{"a":\n1}'},
    {"event": "message", "data": "x"},
]


@pytest.fixture(scope="module")
def page(look: Callable[[str], Any], furnish: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    """Of the viewer's origin, with nothing on it."""
    with furnish("http://127.0.0.1:9") as room:
        page = look(room.url).page
        page.goto(f"{room.url}/radserve/config.json")
        yield page


def call(page: Any, module: str, name: str, *arguments: Any) -> Any:
    script = f"async given => (await import('/radserve/{module}.mjs')).{name}(...given)"
    return page.evaluate(script, list(arguments))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_events_are_read_however_the_network_cuts_them(page, size, ending):
    """Characters of several bytes, comments, data of several lines; an event that is cut off is none."""
    data = list(STREAM.replace("\n", ending).encode())
    assert page.evaluate(READ, {"data": data, "size": size}) == EVENTS


READ = """async ({ data, size }) => {
  const { readEvents } = await import('/radserve/sse.mjs');
  const start = controller => {
    for (let at = 0; at < data.length; at += size) controller.enqueue(new Uint8Array(data.slice(at, at + size)));
    controller.close();
  };
  const events = [];
  for await (const event of readEvents(new ReadableStream({ start }))) events.push(event);
  return events;
}"""


@pytest.mark.parametrize(("lower", "upper"), [(-160, 239), (-15, 84), (0.5, 1.25), (-1024, 3071), (7, 7.001)])
def test_a_window_shows_black_and_white_where_the_viewer_does(page, lower, upper):
    """By the formula of PS3.3 C.11.2.1.2.1; W 400, L 40 is -160 to 239 HU."""
    window = call(page, "window", "toWindow", {"lower": lower, "upper": upper}, "LINEAR")
    half = (window["width"] - 1) / 2
    assert window["center"] - 0.5 - half == pytest.approx(lower)
    assert window["center"] - 0.5 + half == pytest.approx(upper)
    assert window["function"] == "LINEAR"


def test_a_sigmoid_stays_one(page):
    window = call(page, "window", "toWindow", {"lower": -160, "upper": 239}, "SAMPLED_SIGMOID")
    assert window == {"center": 40, "width": 400, "function": "SIGMOID"}


def test_the_prior_is_the_newest_of_the_modality_that_is_not_later(page):
    def study(uid: str, date: str, modalities: str = "CT", mrn: str = "1") -> dict[str, str]:
        return {"studyInstanceUid": uid, "date": date, "modalities": modalities, "mrn": mrn}

    studies = [
        study("now", "20240506"),
        study("old", "20200101"),
        study("later", "20250101"),
        study("best", "20230101", "SR\\CT"),
        study("magnet", "20240101", "MR"),
        study("other patient", "20240401", mrn="11"),
        study("undated", ""),
    ]
    shown = {"study": "now", "modality": "CT", "patientId": "1", "date": "20240506"}
    assert call(page, "prior", "choosePriorStudy", studies, shown)["studyInstanceUid"] == "best"
    assert call(page, "prior", "choosePriorStudy", studies[:1], shown) is None


@pytest.mark.parametrize(
    ("place", "count", "others", "index"), [(1, 28, 14, 0), (28, 28, 14, 13), (14, 27, 27, 13), (1, 1, 5, 2)]
)
def test_a_place_in_one_stack_is_found_in_another(page, place, count, others, index):
    assert call(page, "prior", "matchPlace", place, count, others) == index


@pytest.mark.parametrize(
    ("description", "date", "words"),
    [("AX 5 mm", "20240506", "AX 5 mm · 2024-05-06"), ("", "20240506", "2024-05-06"), ("", "2024.05.06", "")],
)
def test_series_and_day_are_told_as_far_as_they_are_known(page, description, date, words):
    assert call(page, "viewport", "tellSeries", {"description": description, "date": date}) == words


AXIAL = [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("depths", [[30, 20, 10], [10, 20, 30]])
@pytest.mark.parametrize("others", [[1, 2, 3], [3, 2, 1]])
def test_a_prior_runs_through_the_body_as_the_viewers_stack_does(page, depths, others):
    """However the slices of either are numbered."""
    stack = [{"number": 9 - d, "position": [0, 0, d], "orientation": AXIAL} for d in depths]
    prior = [
        {"number": n, "position": [0, 0, 10.5 * d], "orientation": AXIAL}
        for n, d in zip(others, [1, 2, 3], strict=True)
    ]
    found = [one["position"][2] for one in call(page, "prior", "sortLike", stack, prior)]
    assert found == sorted(found, reverse=depths[0] > depths[1])


def test_a_prior_without_positions_runs_by_its_numbers_as_the_viewers_stack_does(page):
    stack = [{"number": number, "position": None, "orientation": None} for number in (5, 3, 1)]
    found = call(page, "prior", "sortLike", stack, [{"number": n, "position": None} for n in (1, 3, 2)])
    assert [one["number"] for one in found] == [3, 2, 1]


@pytest.mark.parametrize("modality", ["CT", "MR", "CR", "DX", "MG", "US", "NM", ""])
def test_there_are_suggestions_for_every_modality(page, modality):
    questions = call(page, "suggestions", "suggest", modality)
    assert 3 <= len(set(questions)) == len(questions) <= 4


def test_elements_take_text_as_text(page):
    told = page.evaluate(
        """async text => {
          const { element } = await import('/radserve/elements.mjs');
          const bold = element('b', {}, text);
          const made = element('p', { title: text, hidden: false, 'data-on': true }, text, null, [bold]);
          return [made.textContent, made.children.length, made.title, made.hasAttribute('hidden')];
        }""",
        "<i onclick=x>&amp;",
    )
    assert json.dumps(told) == json.dumps(["<i onclick=x>&amp;" * 2, 1, "<i onclick=x>&amp;", False])


@pytest.mark.parametrize(
    ("scaling", "range_", "words", "white"),
    [
        ({}, [-15, 84], "W\xa0100 · L\xa035", 84),
        ({"suvbw": 0.0003}, [0, 6], "W\xa07 · L\xa03.5 SUV", 20_000),
        ({"doseGridScaling": 2e-6}, [0.5, 2.5], "W\xa03 · L\xa02", 1_250_000),
    ],
)
def test_a_window_is_told_as_the_viewer_tells_it_and_sent_over_stored_values(
    page, scaling, range_, words, white
):
    shown = page.evaluate(READ_SHOWN, {"scaling": scaling, "range": range_})
    assert shown["windowWords"] == words
    assert shown["window"]["center"] - 0.5 + (shown["window"]["width"] - 1) / 2 == pytest.approx(white)


READ_SHOWN = """async ({ scaling, range: [lower, upper] }) => {
  const { readShown } = await import('/radserve/viewport.mjs');
  const viewport = {
    getCurrentImageId: () => 'wadors:/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/1',
    getCornerstoneImage: () => ({ preScale: { scaled: true, scalingParameters: scaling } }),
    getProperties: () => ({ voiRange: { lower, upper }, VOILUTFunction: 'LINEAR' }),
  };
  const state = { activeViewportId: 'a', viewports: new Map([['a', { displaySetInstanceUIDs: ['b'] }]]) };
  const { window, windowWords } = readShown({
    viewportGridService: { getState: () => state },
    displaySetService: { getDisplaySetByUID: () => ({ Modality: 'PT' }), getActiveDisplaySets: () => [] },
    cornerstoneViewportService: { getCornerstoneViewport: () => viewport },
  });
  return { window, windowWords };
}"""
