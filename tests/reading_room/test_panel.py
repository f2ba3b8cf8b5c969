"""The panel as a reader uses it: keys, scopes, what it says of an answer, and what it never does with one."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from radserve_client.orthanc import Orthanc
from radserve_server.fake import CONFIDENCE, WORDS

MARKUP = "<img src=x onerror=\"document.title='broken in'\">"


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("audit") / "audit.jsonl"


@pytest.fixture(scope="module")
def room(loaded: Orthanc, audit: Any, furnish: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    with furnish(loaded.dicom_web, pacs_url=loaded.dicom_web, audit_file=audit) as room:
        yield room


@pytest.fixture(scope="module")
def shared_viewer(room: Any, look: Callable[[str], Any], head: Any) -> Any:
    viewer = look(room.url)
    viewer.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=room.url)
    viewer.open(head)
    return viewer


@pytest.fixture
def viewer(room: Any, shared_viewer: Any) -> Any:
    """As new: the engine says its usual words, the panel asks about the image."""
    room.backend.words, room.backend.confidence = WORDS, dict(CONFIDENCE)
    room.backend.token_delay_s = 0.0
    shared_viewer.choose("This image")
    return shared_viewer


def test_an_answer_comes_piece_by_piece(room, viewer):
    room.backend.token_delay_s = 0.08
    viewer.page.evaluate(WATCH)
    viewer.ask("Is there a bleed?")
    states = viewer.page.evaluate("() => window.states")
    whole = "".join(WORDS)
    assert len(set(states)) >= 4
    assert all(whole.startswith(state) for state in states)
    assert states[-1] == whole


WATCH = """() => {
  window.states = [];
  const note = () => {
    const text = document.querySelector('.rs-answer .rs-text').textContent;
    if (text) window.states.push(text);
  };
  const answers = document.querySelector('.rs-answers');
  new MutationObserver(note).observe(answers, { subtree: true, childList: true, characterData: true });
}"""


def test_what_a_model_says_is_never_markup(room, viewer):
    room.backend.words = (MARKUP, " and <b>more</b>")
    viewer.ask(f"What is {MARKUP}?")
    assert viewer.newest.locator(".rs-text").text_content() == f"{MARKUP} and <b>more</b>"
    assert viewer.newest.locator("img[src=x], b:text('more')").count() == 0
    assert viewer.page.title() != "broken in"


def test_what_the_model_saw_stands_beside_what_the_reader_sees(viewer):
    viewer.ask("Is there a bleed?")
    viewer.newest.get_by_text("These are the very pixels the model saw").wait_for()
    assert viewer.newest.locator("figure img").count() == 1
    assert viewer.newest.locator("figure canvas").count() == 1
    viewer.newest.get_by_role("button", name="The model").click()
    enlarged = viewer.panel.get_by_role("dialog")
    assert enlarged.locator("img").bounding_box()["width"] > 400
    viewer.page.keyboard.press("Escape")
    enlarged.wait_for(state="detached")


def test_pixels_that_differ_from_those_of_the_answer_are_told(viewer):
    """The gateway shows another window than the answer's record tells of."""

    def tamper(route: Any) -> None:
        body = json.loads(route.request.post_data)
        body["image_dicom"]["window"] = "lung"
        route.continue_(post_data=json.dumps(body))

    viewer.page.route("**/v1/render", tamper)
    viewer.ask("Is there a bleed?")
    viewer.newest.get_by_text("the digests differ").wait_for()
    viewer.page.unroute("**/v1/render")


def test_an_unsure_answer_and_its_warnings_are_set_apart(room, viewer):
    room.backend.confidence = {**CONFIDENCE, "confidence": 0.41, "abstained": True}
    answer = viewer.ask("Is there a bleed?")
    assert viewer.newest.get_by_role("note").text_content().startswith("The model is not sure enough")
    assert viewer.newest.get_by_role("meter").get_attribute("aria-valuenow") == "41"
    assert viewer.newest.locator(".rs-warnings li").all_text_contents() == answer["clinical"]["warnings"]
    assert answer["clinical"]["warnings"]
    viewer.ask("Is there a mass?")
    folded = viewer.panel.get_by_role("article").nth(1)
    assert folded.locator(".rs-brief").is_visible() and not folded.get_by_role("note").is_visible()
    assert folded.locator(".rs-brief").text_content().startswith("Not sure: ")


def test_a_confidence_that_is_not_known_is_not_drawn(room, viewer):
    room.backend.confidence = None
    viewer.ask("Is there a bleed?")
    assert "Confidence not known: this engine" in viewer.newest.text_content()
    assert viewer.newest.get_by_role("meter").count() == 0


def test_escape_stops_an_answer_and_the_next_question_works(room, viewer):
    room.backend.token_delay_s, room.backend.words = 0.2, WORDS * 50
    cancelled = room.backend.cancelled
    viewer.question.fill("Is there a bleed?")
    viewer.question.press("Enter")
    viewer.newest.get_by_text("No acute").wait_for()
    viewer.question.press("Escape")
    viewer.newest.get_by_text("Stopped.").wait_for()
    viewer.until(lambda: room.backend.cancelled > cancelled)
    room.backend.token_delay_s, room.backend.words = 0.0, WORDS
    assert viewer.ask("Is there a mass?")["answer"] == "".join(WORDS)


def test_every_control_is_reached_by_keys_and_has_a_name(viewer):
    viewer.ask("Is there a bleed?")
    viewer.newest.get_by_text("These are the very pixels").wait_for()
    viewer.page.mouse.click(700, 450)
    viewer.page.keyboard.press("Alt+q")
    viewer.until(lambda: viewer.page.evaluate(FOCUSED) == "Question")
    viewer.question.fill("x")
    reached = set()
    for _ in range(24):
        reached.add(viewer.page.evaluate(FOCUSED))
        viewer.page.keyboard.press("Tab")
    wanted = {
        "Question",
        "This image",
        "Use my window",
        "Ask",
        "Is there a bleed?",
        "Copy",
        "File to archive",
    }
    assert wanted | {"Good answer", "Bad answer", "Model and timings"} <= reached
    unnamed = viewer.panel.locator("button:visible").evaluate_all(
        "all => all.filter(one => !one.textContent.trim() && !one.getAttribute('aria-label')).length"
    )
    assert unnamed == 0
    viewer.question.fill("")


FOCUSED = """() => {
  const at = document.activeElement;
  return at.getAttribute('aria-label') ?? at.closest('label')?.querySelector('span').textContent ?? at.textContent;
}"""


@pytest.mark.parametrize("button", ["Ask", "Is there a bleed?"])
def test_who_has_no_mouse_does_not_lose_their_place_by_asking(room, viewer, button):
    room.backend.token_delay_s, room.backend.words = 0.2, WORDS * 50
    viewer.question.fill("Is there a mass?")
    viewer.panel.locator("form").get_by_role("button", name=button, exact=True).focus()
    viewer.page.keyboard.press("Enter")
    viewer.until(lambda: viewer.page.evaluate(FOCUSED) == "Stop")
    viewer.page.keyboard.press("Escape")
    viewer.until(lambda: viewer.page.evaluate(FOCUSED) == "Question")


def test_a_panel_that_is_hidden_comes_up_when_it_is_called(viewer):
    asked = viewer.ask("Is there a bleed?")["answer"]
    viewer.page.locator("[data-cy=side-panel-header-right]").click()
    viewer.panel.wait_for(state="detached")
    viewer.page.keyboard.press("Alt+q")
    viewer.until(lambda: viewer.page.evaluate(FOCUSED) == "Question")
    assert viewer.newest.locator(".rs-text").text_content() == asked, "its answers are still there"


def test_keys_typed_into_the_question_are_not_the_viewers(viewer):
    before = viewer.shown()
    viewer.question.fill("")
    viewer.question.press_sequentially("hvri")  # OHIF flips, rotates and inverts by these
    viewer.question.press("Shift+Enter")
    viewer.question.press("ArrowDown")
    assert viewer.question.input_value() == "hvri\n"
    assert viewer.shown() == before
    viewer.question.fill("")


def test_a_suggestion_is_asked_by_a_click(viewer):
    with viewer.page.expect_response("**/v1/vqa"):
        viewer.panel.get_by_role("group", name="Suggested questions").get_by_role("button").first.click()
    viewer.settle()
    assert viewer.sent()["question"] == "Is there a bleed?"


def test_a_series_is_asked_about_as_a_whole(viewer, head):
    viewer.choose("Series")
    viewer.ask("Is there a bleed?")
    viewer.newest.get_by_text(f"shown 1 of {len(head.files)} slices of a series").wait_for()
    (reference,) = viewer.sent()["image_dicom"]
    assert reference == {"study": head.uid, "series": str(head.header(0).SeriesInstanceUID), "pacs": "pacs"}


def test_a_prior_is_found_and_its_slice_lies_at_the_same_place(viewer, head, prior_head):
    viewer.choose("With prior")
    answer = viewer.ask("Has it changed?")
    current, prior = viewer.sent()["image_dicom"]
    place = head_place(viewer, head)
    assert (current["study"], current["instances"]) == (head.uid, [head.instance(place)])
    assert (prior["study"], prior["instances"]) == (prior_head.uid, [prior_head.instance(place)])
    assert [one["study"] for one in answer["clinical"]["seen"]] == [head.uid, prior_head.uid]
    assert "prior of 2022-01-02" in viewer.newest.text_content()
    viewer.newest.get_by_text("These are the very pixels").wait_for()
    assert viewer.newest.locator("figcaption b").all_text_contents() == [
        "The model",
        "The model, prior",
        "You",
    ]


def head_place(viewer: Any, head: Any) -> int:
    return [head.instance(index) for index in range(len(head.files))].index(viewer.shown()["instance"])


def test_more_images_than_the_engine_takes_are_refused_in_words(room, viewer):
    policy = {**room.backend.manifest["image_policy"], "max_images": 1}
    before, room.backend.manifest = room.backend.manifest, {**room.backend.manifest, "image_policy": policy}
    try:
        viewer.until(lambda: models(viewer)["max_images"] == 1)
        viewer.choose("With prior")
        viewer.ask("Has it changed?")
        error = viewer.newest.get_by_role("alert")
        assert "2 images were sent; fake-vqa takes 1 at most" in error.text_content()
        assert "too_many_images" in error.text_content()
    finally:
        room.backend.manifest = before
    viewer.until(lambda: models(viewer)["max_images"] == 2)
    viewer.newest.get_by_role("button", name="Retry").click()
    viewer.read("".join(WORDS))


def models(viewer: Any) -> dict[str, Any]:
    told = viewer.page.evaluate("fetch('/v1/models').then(answer => answer.json())")
    return dict(told["data"][0]["clinical"]["image_policy"])


def test_an_answer_is_copied_as_plain_text(viewer):
    answer = viewer.ask("Is there a bleed?")
    viewer.newest.get_by_role("button", name="Copy").click()
    viewer.newest.get_by_role("button", name="Copied").wait_for()
    copied = viewer.page.evaluate("navigator.clipboard.readText()")
    for part in ("Is there a bleed?", answer["answer"], "83\u00a0%", answer["clinical"]["engine"]["digest"]):
        assert part in copied


def test_a_verdict_is_in_the_audit_file(viewer, audit):
    answer = viewer.ask("Is there a bleed?")
    viewer.newest.get_by_role("button", name="Bad answer").click()
    viewer.newest.get_by_text("noted in the audit file").wait_for()
    assert viewer.newest.get_by_role("button", name="Bad answer").get_attribute("aria-pressed") == "true"
    event = json.loads(audit.read_text().splitlines()[-1])
    assert answer["clinical"]["answer_id"] in json.dumps(event)
    assert "down" in json.dumps(event)


def test_the_login_of_the_viewer_goes_with_every_request(viewer):
    viewer.page.evaluate(LOG_IN, "Bearer of-the-viewer")
    asked = len(viewer.asked)
    viewer.ask("Is there a bleed?")
    viewer.newest.get_by_text("These are the very pixels").wait_for()
    viewer.page.evaluate(LOG_IN, None)
    ours = [one for one in viewer.asked[asked:] if "/v1/" in one.url]
    assert len(ours) >= 2
    assert {one.headers.get("authorization") for one in ours} == {"Bearer of-the-viewer"}


LOG_IN = """login => window.services.userAuthenticationService.setServiceImplementation({
  getAuthorizationHeader: () => (login ? { Authorization: login } : undefined),
})"""


def test_a_narrow_panel_is_not_broken(viewer):
    viewer.panel.evaluate("panel => (panel.parentElement.style.width = '190px')")
    overflow = viewer.panel.evaluate(
        "panel => [...panel.querySelectorAll('*')].filter(one => "
        "one.getBoundingClientRect().right > panel.getBoundingClientRect().right + 1).length"
    )
    viewer.take_picture("narrow")
    viewer.panel.evaluate("panel => (panel.parentElement.style.width = '')")
    assert overflow == 0


def test_answers_given_before_the_study_was_opened_are_there(viewer, head, look):
    """They come after a question that was quicker, and none comes twice."""
    viewer.scroll()
    answer = viewer.ask("Is there a fracture?")
    place = f"slice {head_place(viewer, head) + 1} of {len(head.files)}"
    again = look(viewer.url)
    held: list[Any] = []
    again.page.route("**/v1/answers/search", lambda route: held.append(route))
    again.open(head)
    newest = again.ask("Is there a mass?")
    held.pop().continue_()
    older = again.panel.get_by_role("article").nth(1)
    older.get_by_text("Is there a fracture?").click()
    older.locator(".rs-text", has_text=answer["answer"]).wait_for()
    assert older.get_by_text(f"{place} · asked before").is_visible()
    assert older.get_by_role("button", name="File to archive").is_enabled()
    again.take_picture("opened-again")
    given = again.page.evaluate(SEARCH, head.uid)
    assert newest["clinical"]["answer_id"] in given
    assert again.panel.get_by_role("article").count() == len(given)
    again.page.context.close()


SEARCH = """async study => {
  const headers = { 'content-type': 'application/json' };
  const given = { method: 'POST', headers, body: JSON.stringify({ study }) };
  return (await (await fetch('/v1/answers/search?again', given)).json()).data.map(one => one.answer_id);
}"""


def test_a_patient_without_a_prior_is_told_of(viewer, many_frames):
    viewer.open(many_frames)
    viewer.choose("With prior")
    viewer.question.fill("Has it changed?")
    viewer.question.press("Enter")
    viewer.newest.get_by_text("The archive has no earlier US study of this patient.").wait_for()


def test_a_slice_the_policy_chose_has_the_number_it_has_in_the_viewer(viewer, volume):
    """The viewer's stack of it begins at its other end."""
    viewer.open(volume)
    viewer.choose("Series")
    (seen,) = viewer.ask("Is there a bleed?")["clinical"]["seen"]
    instances = viewer.page.evaluate(STACK)
    assert instances != [volume.instance(index) for index in range(8)]
    place = instances.index(seen["instance"]) + 1
    viewer.newest.locator("figcaption").first.and_(viewer.page.get_by_text(f"slice {place} of 8")).wait_for()


STACK = """() => {
  const [displaySet] = window.services.displaySetService.getActiveDisplaySets();
  return displaySet.instances.map(one => one.SOPInstanceUID);
}"""


def test_nothing_of_a_study_is_kept_once_it_is_closed(viewer, blocks):
    viewer.open(blocks)
    viewer.ask("Is there a bleed?")
    viewer.choose("Series")
    viewer.page.evaluate("() => (window.panel = document.querySelector('.radserve'))")
    viewer.page.locator("[data-cy=return-to-work-list]").click()
    viewer.until(lambda: not viewer.page.evaluate("document.contains(window.panel)"))
    viewer.until(lambda: not viewer.page.evaluate("window.panel.querySelector('.rs-answer')"))
    assert viewer.page.evaluate("window.panel.querySelector('.rs-scopes input').checked"), "This image"
