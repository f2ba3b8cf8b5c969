from collections import Counter

import numpy as np

from radserve_engines.training.made_questions import FACTS, make_question, read_facts
from radserve_engines.vqa_data import Question


def ask(answer, content_type, closed=False, modality=None, body_part=None):
    return Question("id", "slake", "a.png", "?", answer, closed, modality, content_type, body_part)


def test_labels_and_open_answers_tell_modality_plane_and_region():
    group = [ask("yes", "Organ", True, "X-Ray", "Chest_lung"), ask("coronal plane", "Plane")]
    assert read_facts(group) == {"modality": "x-ray", "plane": "coronal", "region": "chest"}


def test_vqa_med_s_names_are_understood():
    group = [ask("mr - flair", "C1"), ask("transverse", "C2"), ask("skull and contents", "C3")]
    assert read_facts(group) == {"modality": "mri", "plane": "axial", "region": "head"}


def test_an_answer_to_another_kind_of_question_tells_nothing():
    """ "Which organ is abnormal? Brain" does not say that the image is one of the head."""
    assert read_facts([ask("brain", "Abnormality"), ask("ct", "KG")]) == {}


def test_every_made_answer_follows_from_the_facts_and_yes_is_as_frequent_as_no():
    facts = {"modality": "ct", "plane": "axial", "region": "chest"}
    chooser, answers = np.random.default_rng(1), Counter()
    for _ in range(2000):
        made = make_question([ask("yes", "Organ")], facts, chooser)
        named = {word for classes in FACTS.values() for word in classes if f" {word}" in made.question}
        true = named & set(facts.values())
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
