from radserve_engines.vqa_data import Question
from radserve_engines.vqa_scores import Score, guess_from_questions, score_answers, swap_images


def ask(image, question, answer, closed=False, source="slake"):
    return Question("id", source, image, question, answer, closed, None)


def test_scores_split_by_kind_and_set():
    questions = [
        ask("a", "q", "yes", closed=True),
        ask("a", "q", "liver"),
        ask("a", "q", "lung"),
        ask("b", "q", "mri", source="vqa-rad"),
    ]
    scores = score_answers(questions, ["Yes.", "liver", "heart", "ct"])
    assert scores["slake"] == Score(closed=100.0, open=50.0, all=66.7, count=3)
    assert scores["vqa-rad"] == Score(closed=None, open=0.0, all=0.0, count=1)
    assert scores["all"] == Score(closed=100.0, open=33.3, all=50.0, count=4)


def test_guesses_use_the_question_alone_and_stay_within_a_set():
    training = [
        ask("a", "Which organ?", "liver"),
        ask("b", "which organ?", "liver"),
        ask("c", "Which organ?", "lung"),
        ask("d", "Which organ?", "brain", source="vqa-rad"),
        ask("d", "Healthy?", "no", closed=True),
    ]
    asked = [
        ask("z", "WHICH organ?", "lung"),
        ask("z", "Which organ?", "lung", source="vqa-rad"),
        ask("z", "Broken?", "yes", closed=True),
        ask("z", "Broken?", "yes", closed=True, source="vqa-med-2019"),
    ]
    assert guess_from_questions(training, asked) == ["liver", "brain", "no", ""]


def test_every_swapped_question_gets_another_image_of_its_set():
    questions = [ask(f"{source}{i // 2}", f"q{i}", "a", source=source) for source in "xy" for i in range(9)]
    swapped = swap_images(questions)
    for before, after in zip(questions, swapped, strict=True):
        assert after.image != before.image
        assert after.image[0] == before.source
        assert (after.question, after.answer) == (before.question, before.answer)
