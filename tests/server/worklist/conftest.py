"""Work items over a real socket, as a requester and a performer of another maker see them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from radserve_server.worklist.example import EXAMPLE

ROOT = "/dicom-web/workitems"
DICOM_JSON = {"content-type": "application/dicom+json"}


@dataclass(frozen=True)
class Requester:
    """Speaks UPS-RS with a gateway."""

    http: httpx.Client

    def create(self, item: dict[str, Any], query: str = "") -> httpx.Response:
        return self.http.post(f"{ROOT}{query}", json=[item], headers=DICOM_JSON)

    def schedule(self, item: dict[str, Any]) -> str:
        """The UID of an item that must be taken."""
        answer = self.create(item)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"].rpartition("/")[2]

    def retrieve(self, uid: str) -> Dataset:
        answer = self.http.get(f"{ROOT}/{uid}")
        assert answer.status_code == 200, answer.text
        return Dataset.from_json(answer.json()[0])

    def search(self, **query: str) -> list[Dataset]:
        answer = self.http.get(ROOT, params=query)
        assert answer.status_code in (200, 204), answer.text
        return [Dataset.from_json(one) for one in answer.json()] if answer.status_code == 200 else []

    def update(self, uid: str, changes: dict[str, Any], query: str = "") -> httpx.Response:
        return self.http.post(f"{ROOT}/{uid}{query}", json=[changes], headers=DICOM_JSON)

    def move(self, uid: str, state: str, transaction: str | None = "1.2.99") -> httpx.Response:
        wish = _attributes(ProcedureStepState=state)
        if transaction is not None:
            wish |= _attributes(TransactionUID=transaction)
        return self.http.put(f"{ROOT}/{uid}/state", json=wish, headers=DICOM_JSON)

    def cancel(self, uid: str, reason: dict[str, Any] | None = None) -> httpx.Response:
        return self.http.post(f"{ROOT}/{uid}/cancelrequest", json=reason or {}, headers=DICOM_JSON)

    def state(self, uid: str) -> str:
        return self.retrieve(uid).ProcedureStepState


def _attributes(**values: Any) -> dict[str, Any]:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    told: dict[str, Any] = dataset.to_json_dict()
    return told


@pytest.fixture(scope="session")
def attributes() -> Callable[..., dict[str, Any]]:
    """DICOM JSON of values by keyword; None leaves an attribute empty."""
    return _attributes


@pytest.fixture(scope="session")
def speak() -> Callable[[httpx.Client], Requester]:
    return Requester


@pytest.fixture
def worklist(gateway) -> Requester:
    """The worklist of the gateway that all tests share."""
    return Requester(gateway.http)


@pytest.fixture(scope="session")
def elsewhere() -> Dataset:
    """The station name of another performer."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "cad-1", "L", "CAD workstation"
    return code


@pytest.fixture(scope="session")
def item() -> Callable[..., dict[str, Any]]:
    """The manual's example, with other values by keyword; None takes an attribute away."""

    def build(**values: Any) -> dict[str, Any]:
        told = copy.deepcopy(EXAMPLE)
        for keyword, value in values.items():
            told.pop(f"{tag_for_keyword(keyword):08X}", None)
            if value is not None:
                told |= _attributes(**{keyword: value})
        return told

    return build
