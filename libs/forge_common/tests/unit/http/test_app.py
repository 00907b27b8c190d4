"""What every service's app does with errors, ids and health."""

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from pydantic import BaseModel

from forge_common.errors import Conflict, DependencyDown
from forge_common.http.app import create_service


class Order(BaseModel):
    count: int


def client(**checks):
    router = APIRouter()

    @router.get("/taken")
    def taken() -> None:
        raise Conflict("stage 7 is taken", fix="nothing to do", code="stage_taken")

    @router.get("/crash")
    def crash() -> None:
        raise KeyError("secret detail")

    @router.post("/order")
    def order(order: Order) -> int:
        return order.count

    return TestClient(create_service("test", [router], checks=checks), raise_server_exceptions=False)


def test_a_forge_error_leaves_as_a_problem_document():
    reply = client().get("/taken")

    assert reply.status_code == 409
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == "stage_taken"
    assert reply.json()["fix"] == "nothing to do"


def test_a_bug_leaves_without_its_details():
    reply = client().get("/crash")

    assert reply.status_code == 500
    assert "secret detail" not in reply.text


def test_a_wrong_field_is_named():
    reply = client().post("/order", json={"count": "many"})

    assert reply.status_code == 422
    assert "body.count" in reply.json()["detail"]


def test_an_unknown_path_is_a_problem_document_too():
    assert client().get("/nowhere").json()["code"] == "not_found"


def test_the_request_id_is_kept_and_a_strange_one_replaced():
    assert client().get("/health", headers={"x-request-id": "abc123"}).headers["x-request-id"] == "abc123"
    assert client().get("/health", headers={"x-request-id": "a b\tc"}).headers["x-request-id"].isalnum()


def test_health_is_503_and_says_why_when_a_check_fails():
    def down() -> None:
        raise DependencyDown("Postgres: refused")

    reply = client(postgres=down).get("/health")

    assert reply.status_code == 503
    assert "refused" in reply.json()["failed"]["postgres"]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_no_page_runs_scripts_of_others(page):
    assert client().get(page).status_code == 404


def test_an_unknown_path_says_where_the_known_ones_are():
    fix = client().get("/").json()["fix"]

    assert client().get(fix.split()[0]).status_code == 200
