from collections import Counter

import numpy as np

from radserve_engines.training.made_questions import FACTS, Facts, make_question, read_facts
from radserve_engines.training.organs import read_organs
from radserve_engines.vqa_data import Question


def ask(answer, content_type, closed=False, modality=None, body_part=None):
    return Question("id", "slake", "a.png", "?", answer, closed, modality, content_type, body_part)


def test_labels_and_open_answers_tell_modality_plane_and_region():
    group = [ask("yes", "Organ", True, "X-Ray", "Chest_lung"), ask("coronal plane", "Plane")]
    assert read_facts(group).classes == {"modality": "x-ray", "plane": "coronal", "region": "chest"}


def test_vqa_med_s_names_are_understood():
    group = [ask("mr - flair", "C1"), ask("transverse", "C2"), ask("skull and contents", "C3")]
    assert read_facts(group).classes == {"modality": "mri", "plane": "axial", "region": "head"}


def test_an_answer_to_another_kind_of_question_tells_nothing():
    """ "Which organ is abnormal? Brain" does not say that the image is one of the head."""
    assert not read_facts([ask("brain", "Abnormality"), ask("ct", "KG")])


def say(question, answer, content_type="Organ"):
    return Question("id", "slake", "a.png", question, answer, answer in ("yes", "no"), None, content_type)


def test_organs_are_read_from_what_was_asked_and_answered():
    group = [
        say("Does the picture contain liver?", "no"),
        say("Does the spleen appear in the image?", "yes"),
        say("Are/Is there kidneys in the picture?", "no"),
        say("How many femoral heads are shown in this image?", "2", "Quantity"),
        say("Where is the bladder in this image?", "center", "Position"),
        say("What is the main organ in the image?", "lung, heart"),
        say("What is the organ on the left side of this image?", "right lung"),
    ]
    shown = ("spleen", "femoral head", "bladder", "lung", "heart")
    assert read_organs(group) == {"liver": False, "kidney": False, **dict.fromkeys(shown, True)}


def test_a_count_of_none_and_a_plain_no_outweigh_a_hint():
    group = [
        say("How many kidneys in this image?", "0", "Quantity"),
        say("What is the largest organ in the picture?", "Liver".lower(), "Size"),
        say("Does the picture contain liver?", "no"),
    ]
    assert read_organs(group) == {"kidney": False, "liver": False}


def test_a_question_of_health_or_disease_says_nothing_of_presence():
    group = [
        say("Does the lung look abnormal?", "no"),
        say("Where is the brain edema?", "left", "Position"),
        say("Is there a brain tumor?", "no"),
    ]
    assert read_organs(group) == {}


def test_made_questions_on_organs_are_right_and_balanced():
    facts = Facts({}, {"liver": True, "lung": False, "heart": False, "spleen": False})
    chooser, answers = np.random.default_rng(2), Counter()
    for _ in range(1000):
        made = make_question([ask("yes", "Organ")], facts, chooser)
        assert (made.answer == "yes") == ("liver" in made.question)
        answers[made.answer] += 1
    assert 0.8 < answers["yes"] / answers["no"] < 1.25


def test_every_made_answer_follows_from_the_facts_and_yes_is_as_frequent_as_no():
    facts = Facts({"modality": "ct", "plane": "coronal", "region": "chest"}, {})
    chooser, answers = np.random.default_rng(1), Counter()
    for _ in range(2000):
        made = make_question([ask("yes", "Organ")], facts, chooser)
        said = {"transverse": "axial", "pelvic": "pelvis"}
        words = {said.get(word, word) for word in made.question.lower().strip("?").split()}
        named = words & {word for classes in FACTS.values() for word in classes}
        true = named & set(facts.classes.values())
        if made.answer == "yes":
            assert true and not named - true
        elif made.answer == "no":
            assert named and not true
        else:
            assert made.answer in true and len(named) == 2
        answers[made.answer] += 1
        assert made.closed and made.image == "a.png"
    assert 0.8 < answers["yes"] / answers["no"] < 1.25
    assert 0.2 < 1 - (answers["yes"] + answers["no"]) / 2000 < 0.3
