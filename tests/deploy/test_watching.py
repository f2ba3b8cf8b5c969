"""Dashboard and alerts: each series and label in them is one that is really told."""

import json
import re

import pytest
import yaml

from radserve_server import errors

# Of Triton itself: docs/user_guide/metrics.md of triton-inference-server/server, section "GPU Metrics".
TRITON_GPU = ("nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes")
ADDED_BY_PROMETHEUS = {"job", "instance", "le"}
SERIES = re.compile(r"\b(?:radserve|nv)_\w+")


@pytest.fixture(scope="module")
def dashboard(deploy):
    return json.loads((deploy / "grafana/dashboards/radserve.json").read_text())


@pytest.fixture(scope="module")
def rules(deploy):
    (group,) = yaml.safe_load((deploy / "prometheus/alerts.yml").read_text())["groups"]
    return group["rules"]


@pytest.fixture(scope="module")
def expressions(dashboard, rules):
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return asked + [rule["expr"] for rule in rules]


@pytest.fixture(scope="module")
def told(scraped, triton_scraped):
    """Series and their labels: the gateway's and Triton's as scraped, and those of a GPU."""
    return {**triton_scraped, **scraped, **{name: {"gpu_uuid"} for name in TRITON_GPU}}


def test_every_series_asked_for_is_told(expressions, told):
    for expression in expressions:
        names = SERIES.findall(expression)
        assert names or expression.startswith("ALERTS{"), expression
        assert set(names) <= told.keys(), expression


def test_every_label_asked_for_is_one_of_that_series(expressions, told):
    for expression in expressions:
        if expression.startswith("ALERTS{"):
            continue
        known = set.union(ADDED_BY_PROMETHEUS, *(told[name] for name in SERIES.findall(expression)))
        grouped = [
            label.strip()
            for labels in re.findall(r"\bby \(([^)]*)\)", expression)
            for label in labels.split(",")
        ]
        selected = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression)
        assert set(grouped + selected) <= known, expression


def test_every_failure_code_asked_for_is_one_that_is_counted(expressions):
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "default_code")
    ]
    known = {kind.default_code for kind in kinds} | {"engine_failed", "engine_cancelled"}
    for expression in expressions:
        for pattern in re.findall(r"code(?:=~|!~|=)\"([^\"]*)\"", expression):
            for one in pattern.split("|"):
                assert any(re.fullmatch(one, code) for code in known), one


def test_the_legend_names_labels_that_are_left(dashboard, told):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                names = SERIES.findall(target["expr"])
                grouped = re.search(rf"\bby \([^)]*\b{label}\b", target["expr"])
                assert grouped or label in set.union(ADDED_BY_PROMETHEUS, *(told[name] for name in names)), (
                    target
                )


def test_the_dashboard_shows_what_a_user_feels_and_where_the_time_goes(dashboard, scraped):
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", []))
    kinds = {name.removesuffix("_bucket") for name in scraped if name.endswith(("_bucket", "_total"))}
    left_out = {name for name in kinds if not re.search(rf"\b{name}(_bucket|_sum|_count)?\b", asked)}
    assert not left_out


def test_panels_do_not_overlap_and_all_ask_the_provisioned_source(dashboard, deploy):
    source = yaml.safe_load((deploy / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ][0]
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == source["uid"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_every_alert_says_what_to_do(rules):
    assert {"EngineNotReady", "EngineFailures", "QuestionsTurnedAway", "AbstentionsJump"} <= {
        rule["alert"] for rule in rules
    }
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "warn")
        assert rule["annotations"]["summary"] and rule["annotations"]["action"] and rule["for"]
