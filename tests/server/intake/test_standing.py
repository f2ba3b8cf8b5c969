"""Standing questions: answered before anybody asks, for everybody to read."""

import pytest

from radserve_server.auth import hash_key
from radserve_server.backend import QuestionRefused
from radserve_server.fake import FakeBackend

RULES = """
[standing]
settle_s = 0.1
retry_s = 0.05
give_up_s = {give_up_s}
busy_at = 1
[[rules]]
name = "head"
ae_title = "ct*"
modality = "CT"
series_description = ["/brain|head/", "*1CT1*"]
prompt = "You read CTs of the head."
questions = ["Is there a bleed?", "Is there a fracture?"]
[[rules]]
name = "urgent"
priority = 10
modality = "CT"
questions = ["Is it urgent?"]
[[rules]]
name = "chest"
body_part = "CHEST"
questions = ["Is there a pneumothorax?"]
"""


@pytest.fixture(scope="session")
def rules(peer):
    return lambda give_up_s=60.0: peer + RULES.format(give_up_s=give_up_s)


@pytest.fixture(scope="session")
def shared(open_ward, rules):
    with open_ward(rules()) as ward:
        yield ward


@pytest.fixture
def ruled(shared):
    """As new: no question waits, and the engine has forgotten the earlier ones."""
    gateway = shared.gateway
    gateway.until(lambda: gateway.services.watch.ready and not gateway.services.intake.questions_waiting)
    gateway.backend.questions.clear()
    return shared


def finish(ward, count):
    """Wait until so many questions are answered, and none waits."""
    answered = ward.gateway.backend.finished
    return lambda: (
        ward.gateway.backend.finished == answered + count
        and not ward.gateway.services.intake.questions_waiting
    )


@pytest.fixture(scope="session")
def sent(make_series):
    """A series that two of the rules are about."""
    return lambda number, count=2, **more: make_series(
        number, count, Modality="CT", SeriesDescription="Routine Brain", **more
    )


def asked(backend):
    return [question.messages[-1]["content"][-1]["text"] for question in backend.questions]


def test_a_matching_study_is_asked_about_before_anybody_opens_it(open_ward, rules, sent, study_of, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"one:{hash_key('first')}\ntwo:{hash_key('second')}\n")
    files, backend = sent(50), FakeBackend()
    with open_ward(rules(), backend, api_keys_file=keys) as ward:
        http, study = ward.gateway.http, study_of(files)
        ward.push("storescu", *files)
        ward.gateway.until(
            lambda: backend.finished == 3 and not ward.gateway.services.intake.questions_waiting
        )
        assert asked(backend) == ["Is it urgent?", "Is there a bleed?", "Is there a fracture?"]
        assert backend.questions[1].messages[0] == {"role": "system", "content": "You read CTs of the head."}
        http.headers["authorization"] = "Bearer first"
        own = ward.ask(study, "What is shown?").json()
        for key, questions in (("first", [*asked(backend)]), ("second", asked(backend)[:3])):
            http.headers["authorization"] = f"Bearer {key}"
            listed = ward.search(study)
            assert [answer["question"] for answer in listed["data"]] == questions
            assert [answer["standing"] for answer in listed["data"]] == [True] * 3 + [False] * (
                key == "first"
            )
        first = listed["data"][0]
        assert (first["answer"], first["confidence"], first["abstained"]) == (
            *("No acute abnormality is seen.", 0.83),
            False,
        )
        assert {seen["pacs"] for seen in first["seen"]} == {"intake"}
        answers = ward.gateway.services.answers
        assert answers.get("two", first["answer_id"], "answer_id").question == "Is it urgent?"
        with pytest.raises(Exception, match="no such answer"):
            answers.get("two", own["clinical"]["answer_id"], "answer_id")
        assert ward.search("1.2.3")["data"] == []


def test_a_study_that_grows_is_asked_about_again_and_one_that_does_not_is_not(ruled, sent, study_of):
    files, until = sent(51, 4), ruled.gateway.until
    done = finish(ruled, 3)
    ruled.push("storescu", *files[:2])
    until(done)
    ruled.push("storescu", *files[:2])
    assert ruled.search(study_of(files))["waiting"] == 0
    done = finish(ruled, 3)
    ruled.push("storescu", *files[2:])
    until(done)
    listed = ruled.search(study_of(files))["data"]
    assert [answer["superseded"] for answer in listed] == [True] * 3 + [False] * 3


def test_what_matches_no_rule_is_not_asked_about(ruled, make_series, sent, study_of):
    other = make_series(52, Modality="MR", SeriesDescription="Routine Brain")
    matching, done = sent(53), finish(ruled, 3)
    ruled.push("storescu", *other, *matching)
    ruled.gateway.until(done)
    assert len(ruled.search(study_of(matching))["data"]) == 3
    assert ruled.search(study_of(other))["data"] == []


def test_an_outage_is_waited_out(ruled, sent, study_of):
    files, gateway = sent(54), ruled.gateway
    gateway.backend.down = True
    gateway.until(lambda: not gateway.services.watch.ready)
    asked, done = gateway.backend.asked, finish(ruled, 3)
    ruled.push("storescu", *files)
    gateway.until(lambda: ruled.search(study_of(files))["waiting"] == 3)
    assert gateway.backend.asked == asked
    gateway.backend.down = False
    gateway.until(done)
    assert len(ruled.search(study_of(files))["data"]) == 3


def test_what_cannot_be_answered_is_given_up_with_its_reason(ruled, sent, study_of, caplog):
    files, backend = sent(55), ruled.gateway.backend
    given_up = 'radserve_standing_questions_total{outcome="given_up"}'
    backend.refusal = QuestionRefused("context_length_exceeded", "too long")
    ruled.push("storescu", *files)
    ruled.gateway.until(lambda: ruled.count(given_up) == 3)
    backend.refusal = None
    assert ruled.search(study_of(files)) == {"object": "list", "data": [], "waiting": 0}
    told = [record.getMessage() for record in caplog.records if record.name.endswith("standing")]
    assert "a standing question of rule urgent was given up: context_length_exceeded" in told


def test_an_outage_that_does_not_end_is_given_up(open_ward, rules, sent):
    given_up = 'radserve_standing_questions_total{outcome="given_up"}'
    with open_ward(rules(give_up_s=0.01), FakeBackend(down=True)) as ward:
        ward.push("storescu", *sent(57))
        ward.gateway.until(lambda: ward.count(given_up) == 3)


def test_the_end_of_an_association_may_be_what_is_waited_for(open_ward, rules, sent):
    lines = rules().replace("settle_s = 0.1", "settle_s = 600.0\nask_on_release = true")
    with open_ward(lines) as ward:
        ward.push("storescu", *sent(59))
        ward.gateway.until(lambda: ward.gateway.backend.finished == 3)


def test_a_busy_gateway_is_left_alone_and_then_asked_the_urgent_first(ruled, sent):
    services, backend = ruled.gateway.services, ruled.gateway.backend
    before, done = backend.asked, finish(ruled, 6)
    services.admission.running += 1  # somebody is being answered
    ruled.push("storescu", *sent(56), *sent(58))
    ruled.gateway.until(lambda: services.intake.questions_waiting == 6)
    ruled.gateway.http.get("/health/live")
    assert backend.asked == before
    services.admission.running -= 1
    ruled.gateway.until(done)
    assert asked(backend)[:2] == ["Is it urgent?"] * 2


def test_that_answers_go_before_their_studies_is_said_at_the_start(open_ward, rules, caplog):
    for ttl_s, is_said in ((3600.0, True), (14_400.0, False)):
        caplog.clear()
        with open_ward(rules(), answer_ttl_s=ttl_s):
            assert ("RADSERVE_ANSWER_TTL_S" in caplog.text) is is_said
