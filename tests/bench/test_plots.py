"""The plots are there, and hold a line, a bar and a label for everything that was measured."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from radserve_bench.record import Description, Load, Point, Record
from radserve_bench.reporting.document import build_document
from radserve_bench.reporting.plots import draw_plots
from radserve_bench.reporting.roofline_plot import draw_roofline
from radserve_bench.reporting.slo import Slo

pytest.importorskip("matplotlib", reason="plots are of the extra radserve[eval]")

SPLIT = {"upload": 5.0, "prefill": 10.0, "decode": 20.0}


def points(
    target: str, loads: tuple[Load, ...], workload: str = "ct-slice", split: dict[str, float] | None = None
) -> list[Point]:
    """20 answers of 40 ms under each load, the TTFT from 10 to 29 ms, twice as long with each further load."""
    made = []
    for power, load in enumerate(loads):
        records = []
        for at in range(20):
            due, first = 0.04 * at, (0.01 + 0.001 * at) * 2**power
            end = due + max(0.04, first)
            records.append(
                Record("ct", False, at, 0, due, due, due + first, end, [], 9, 9, split=dict(split or {}))
            )
        made.append(Point(target, workload, load, 1, 20, records, 0.8 / (power + 1)))
    return made


def document(made: list[Point], slo: Slo | None = None) -> dict[str, Any]:
    names = dict.fromkeys(point.target for point in made)
    return build_document(made, [Description(name, name, "demo") for name in names], {}, {}, slo or Slo())


CLOSED = (Load("closed", 1), Load("closed", 4), Load("closed", 8))
OPEN = (Load("open", 10), Load("open", 40))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The figures that were saved, by file name."""
    from matplotlib.figure import Figure

    figures: dict[str, Any] = {}
    save = Figure.savefig

    def keep(figure: Figure, path: Path, **options: Any) -> None:
        figures[path.name] = figure
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def legend(figure: Any) -> list[str]:
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def marks(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_every_plot_is_a_picture(tmp_path: Path) -> None:
    paths = draw_plots(document(points("server", CLOSED[:2], split=SPLIT)), tmp_path / "plots")
    assert [path.name for path in paths] == ["latency-throughput.png", "ttft.png", "split.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width >= 700 and picture.height >= 250
            assert len(set(picture.convert("L").tobytes())) > 20


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    assert [path.name for path in draw_plots(document(points("server", CLOSED[:2])), tmp_path)] == [
        "latency-throughput.png",
        "ttft.png",
    ]
    failed = points("server", CLOSED)
    for point in failed:
        for record in point.records:
            record.error = "broken"
    assert draw_plots(document(failed), tmp_path / "none") == []


def test_a_line_a_target_and_kind_of_load_with_each_point_labelled(
    tmp_path: Path, drawn: dict[str, Any]
) -> None:
    made = [*points("server", CLOSED), *points("torch", CLOSED), *points("server", OPEN)]
    draw_plots(document(made), tmp_path)
    figure = drawn["latency-throughput.png"]
    (axes,) = figure.axes
    assert [len(line.get_xdata()) for line in axes.lines] == [3, 2, 3]
    assert marks(axes) == ["1", "4", "8", "10/s", "40/s", "1", "4", "8"]
    assert legend(figure) == [
        "server",
        "server, open load",
        "torch",
    ]
    line = axes.lines[0]
    assert list(line.get_ydata()) == pytest.approx([19.5, 39, 78])
    assert list(line.get_xdata()) == pytest.approx([225, 450, 675])


def test_a_panel_a_workload(tmp_path: Path, drawn: dict[str, Any]) -> None:
    made = points("server", CLOSED, split=SPLIT) + points("server", OPEN, "morning", SPLIT)
    made += points("server", CLOSED[:1], "ct-slice images=2", SPLIT)
    draw_plots(document(made), tmp_path)
    for name in ("latency-throughput.png", "ttft.png"):
        assert [axes.get_title(loc="left") for axes in drawn[name].axes] == ["ct-slice", "morning"]


def test_the_distribution_has_a_curve_a_load_and_the_bound(tmp_path: Path, drawn: dict[str, Any]) -> None:
    made = points("server", CLOSED) + points("torch", CLOSED)
    draw_plots(document(made, Slo(ttft_ms=50)), tmp_path)
    (axes,) = drawn["ttft.png"].axes
    *curves, bound = axes.lines
    assert len(curves) == 6 and all(len(curve.get_xdata()) == 99 for curve in curves)
    assert curves[0].get_xdata()[49] == pytest.approx(19) and curves[0].get_ydata()[49] == 50
    assert set(bound.get_xdata()) == {50} and marks(axes) == ["SLO 50 ms"]
    assert axes.get_xscale() == "log"


def test_of_many_loads_the_least_and_the_most_are_drawn(tmp_path: Path, drawn: dict[str, Any]) -> None:
    many = tuple(Load("closed", amount) for amount in (1, 2, 4, 8, 16, 32))
    draw_plots(document(points("server", many)), tmp_path)
    names = [line.get_label() for line in drawn["ttft.png"].axes[0].lines]
    assert len(names) == 4 and names[0] == "server, 1 at once" and names[-1] == "server, 32 at once"


def test_a_bar_is_the_whole_time_in_stages(tmp_path: Path, drawn: dict[str, Any]) -> None:
    made = points("server", CLOSED[:2], split=SPLIT) + points("torch", CLOSED[:1], split={"decode": 40.0})
    draw_plots(document(made), tmp_path)
    figure = drawn["split.png"]
    (axes,) = figure.axes
    bars = [bar for bar in axes.patches if bar.get_width()]
    for place in {bar.get_y() for bar in bars}:
        parts = [bar for bar in bars if bar.get_y() == place]
        assert sum(part.get_width() for part in parts) == pytest.approx(100)
        for part, following in itertools.pairwise(parts):
            assert part.get_x() + part.get_width() == pytest.approx(following.get_x())
    assert len({bar.get_y() for bar in bars}) == 3
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "server, 1 at once",
        "torch, 1 at once",
        "server, 4 at once",
    ]
    assert {"5.0", "10.0", "20.0", "40 ms", "ct-slice"} <= set(marks(axes))
    assert legend(figure) == ["upload", "prefill", "decode", "other"]


@dataclass(frozen=True, slots=True)
class Phase:
    name: str
    intensity_flop_per_byte: float
    achieved_flops: float
    limit_flops: float
    share: float


def test_the_roofline_bends_where_memory_and_arithmetic_meet(tmp_path: Path, drawn: dict[str, Any]) -> None:
    phases = [
        Phase("decode, 1 at once", 2.0, 25e9, 50e9, 0.5),
        Phase("decode, 8 at once", 16.0, 100e9, 200e9, 0.5),
        Phase("prefill", 300.0, 150e9, 200e9, 0.75),
    ]
    draw_roofline(phases, 25e9, 200e9, "two cores", tmp_path / "roofline.png")
    (axes,) = drawn["roofline.png"].axes
    roof, *dots = axes.lines
    assert list(roof.get_xdata())[1] == 8 and list(roof.get_ydata())[1:] == [200, 200]
    assert [(dot.get_xdata()[0], dot.get_ydata()[0]) for dot in dots] == [(2, 25), (16, 100), (300, 150)]
    assert {"decode, 1 at once: 50 %", "prefill: 75 %", "memory: 25 GB/s", "arithmetic: 200 GFLOP/s"} <= set(
        marks(axes)
    )
    assert dots[0].get_color() != dots[2].get_color()


def test_what_grows_has_a_column_and_the_plain_workload_its_place(
    tmp_path: Path, drawn: dict[str, Any]
) -> None:
    made = points("server", CLOSED)
    for images in (2, 4):
        made += points("server", CLOSED[:1], f"ct-slice images={images}")
    made += points("server", CLOSED[:1], "ct-slice side=1024")
    draw_plots(document(made), tmp_path)
    axes = drawn["scale.png"].axes
    assert {one.get_xlabel() for one in axes} - {""} == {"questions at once", "images a question"}
    ticks = [[text.get_text() for text in one.get_xticklabels()] for one in axes[-2:]]
    assert ticks == [["1", "4", "8"], ["1", "2", "4"]]
    assert list(axes[0].lines[0].get_ydata()) == pytest.approx([19.5, 39, 78])


def test_labels_lie_inside_the_picture_and_not_on_each_other(tmp_path: Path, drawn: dict[str, Any]) -> None:
    """Of loads in the latency plot, with targets whose figures are the same or nearly so."""
    made = [*points("server", CLOSED), *points("triton", CLOSED), *points("vllm", CLOSED)]
    for point in made[3:]:
        point.wall_s *= 1.02
    draw_plots(document(made), tmp_path)
    figure = drawn["latency-throughput.png"]
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 9
    for at, box in enumerate(boxes):
        assert figure.bbox.contains(box.x0, box.y0) and figure.bbox.contains(box.x1, box.y1)
        assert not any(box.overlaps(other) for other in boxes[at + 1 :])
