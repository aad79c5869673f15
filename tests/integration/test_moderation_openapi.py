"""The moderation endpoint answers as its OpenAPI document says, what the document allows and what it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.moderation import Endpoint, serving_champion

_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def endpoint(
    server_url: str, template: str, module_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    with serving_champion(module_home, server_url, template, tmp_path_factory.mktemp("models")) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def token(endpoint: Endpoint) -> str:
    return endpoint.token()


def test_no_request_makes_it_fail_and_each_answer_is_as_described(endpoint: Endpoint) -> None:
    headers = {"Authorization": f"Bearer {endpoint.token()}"}
    document = httpx.get(f"{endpoint.url}/v1/openapi.json", headers=headers, trust_env=False).json()
    operations = [found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()]
    asked: Counter[str] = Counter()

    @settings(
        max_examples=120,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of([operation.as_strategy(mode) for operation in operations for mode in GenerationMode]))
    def check(case: schemathesis.Case) -> None:
        answer = case.call(base_url=endpoint.url, headers=headers, session=session)
        asked[f"{case.path} {answer.status_code}"] += 1
        case.validate_response(answer, checks=_CHECKS)

    with requests.Session() as session:
        session.trust_env = False
        check()
    answered = {outcome.split()[0] for outcome in asked if outcome.endswith((" 200", " 201"))}
    assert {"/v1/moderations", "/v1/reports", "/v1/policies", "/v1/models"} <= answered
