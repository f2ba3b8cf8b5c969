"""Models, version, metrics, documentation, and what the packages import."""

import json
import logging
import re
import subprocess
import sys
from io import BytesIO

import pydicom
import pytest

from radserve_server.documentation import describe_api


def test_the_model_list_has_openai_s_shape_and_the_engine_s_facts(gateway):
    body = gateway.http.get("/v1/models").json()
    (model,) = body["data"]
    assert (body["object"], model["object"], model["id"]) == ("list", "model", "fake-vqa")
    assert model["clinical"]["image_policy"]["max_images"] == 4
    assert gateway.http.get("/v1/models/fake-vqa").json() == model
    assert gateway.http.get("/v1/models/other").status_code == 404


def test_version_names_the_engine(gateway):
    assert gateway.http.get("/v1/version").json()["engine_digest"].startswith("sha256:")


def test_metrics_count_answers_and_errors_under_vllm_s_names(gateway, chat):
    def value(line):
        text = gateway.http.get("/metrics").text
        return float(next((row.split()[-1] for row in text.splitlines() if row.startswith(f"{line} ")), 0))

    answered = 'radserve_request_success_total{finished_reason="stop"}'
    failed = 'radserve_request_failures_total{code="empty_question"}'
    before = value(answered), value(failed), value("radserve_generation_tokens_total")
    gateway.http.post("/v1/chat/completions", json=chat())
    gateway.http.post("/v1/chat/completions", json=chat(question=""))
    after = value(answered), value(failed), value("radserve_generation_tokens_total")
    assert after == (before[0] + 1, before[1] + 1, before[2] + 6)
    text = gateway.http.get("/metrics").text
    for name in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"):
        assert f"radserve_{name}_bucket" in text
    assert value("radserve_engine_ready") == 1


def test_neither_metrics_nor_log_hold_a_uid_or_a_word_of_the_question(gateway, chat, data_uri, ct, caplog):
    dataset = pydicom.dcmread(BytesIO(ct))

    def ours():
        return "".join(record.getMessage() for record in caplog.records if record.name.startswith("radserve"))

    with caplog.at_level(logging.DEBUG):
        dicom = {"content-type": "application/dicom"}
        gateway.http.post("/v1/chat/completions", json=chat(data_uri(ct), question="Xanadu?", stream=True))
        gateway.http.post("/v1/render?frame=Xanadu", content=ct, headers=dicom)
        gateway.until(lambda: "/v1/chat/completions 200" in ours() and "/v1/render 400" in ours())
    written = ours() + gateway.http.get("/metrics").text
    for secret in ("Xanadu", dataset.SOPInstanceUID, str(dataset.PatientName), dataset.PatientID):
        assert secret not in written


def test_the_api_document_shows_an_example_and_the_error_shape_for_each_route(gateway):
    document = gateway.http.get("/openapi.json").json()
    assert set(document["paths"]) >= {
        *("/v1/chat/completions", "/v1/images", "/v1/images/{image_id}", "/v1/vqa", "/v1/render"),
        *("/v1/models", "/v1/version", "/health/live", "/health/ready", "/metrics"),
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert "example" in json.dumps(operation), path
            if path.startswith("/v1/"):
                assert "#/components/schemas/Error" in json.dumps(operation["responses"]), path
    named = set(document["components"]["schemas"])
    used = {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}
    assert used <= named
    fields = document["components"]["schemas"]["ChatRequest"]["properties"]
    assert "without effect" in fields["user"]["description"]


def test_the_documented_examples_are_accepted(gateway):
    from radserve_server.chat_schema import ChatRequest
    from radserve_server.vqa_schema import RenderRequest, VqaRequest

    document = describe_api(gateway.app)
    for path, model in (
        ("/v1/chat/completions", ChatRequest),
        ("/v1/vqa", VqaRequest),
        ("/v1/render", RenderRequest),
    ):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert body["examples"]
        for example in body["examples"].values():
            model.model_validate_json(json.dumps(example["value"]))


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("radserve_server.serve", ("torch", "openvino", "radserve_engines", "radserve_client", "matplotlib")),
        ("radserve_server.render_worker", ("fastapi", "pydantic", "uvicorn", "grpc", "asyncio", "torch")),
    ],
)
def test_what_is_imported(module, foreign):
    code = f"import sys, {module}; print([name for name in {foreign!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_wrong_settings_are_said_in_a_line_not_a_traceback():
    command = [sys.executable, "-m", "radserve_server", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "reachable from outside" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_documentation_page_loads_nothing_from_outside(gateway):
    page = gateway.http.get("/docs").text
    sources = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)
    assert sources
    assert all(source.startswith("/") for source in sources)
    assert all(gateway.http.get(source).status_code == 200 for source in sources)
