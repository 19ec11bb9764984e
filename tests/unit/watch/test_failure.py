"""What is said when the watch is given up: what is wrong, and what to do."""

from __future__ import annotations

import aiohttp
import kopf
import pytest
from kopf._cogs.clients.errors import (
    APIError,
    APIForbiddenError,
    APINotFoundError,
    APIServerError,
    APIUnauthorizedError,
)

from hopper.watch.failure import failure_of

SERVER = "https://api.example.org:6443"
PATHS = ("/api/v1/namespaces/a/pods", "/apis/apps/v1/namespaces/a/deployments", "/api/v1/namespaces/b/pods")
ANSWER = {"kind": "Status", "apiVersion": "v1", "message": "so it is", "code": 400}


def answered(kind: type[APIError], status: int) -> APIError:
    return kind(ANSWER, status=status, headers={})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "said", "do"),
    [
        (answered(APIUnauthorizedError, 401), f"{SERVER} does not accept the credentials", "renew those"),
        (kopf.LoginError("none left"), f"{SERVER} does not accept the credentials", "renew those"),
        (answered(APIForbiddenError, 403), "not allowed to list and watch deployments, pods of namespace a, b", "bind"),
        (answered(APINotFoundError, 404), f"{SERVER} does not serve deployments, pods", "install the CRDs"),
        (aiohttp.ClientConnectionError("refused"), f"cannot reach {SERVER}", "see whether it runs"),
        (TimeoutError(), f"cannot reach {SERVER}", "(TimeoutError)"),
        (answered(APIServerError, 500), "cannot list and watch deployments, pods of namespace a, b", "so it is"),
    ],
    ids=str,
)
def test_is_told_in_one_line(error: Exception, said: str, do: str) -> None:
    message = str(failure_of(error, SERVER, PATHS))
    assert said in message
    assert do in message
    assert "\n" not in message
    assert "apiVersion" not in message


def test_of_what_is_not_known() -> None:
    assert str(failure_of(ValueError("strange"), SERVER, ())) == "cannot list and watch what it has to: strange"


def test_of_the_whole_cluster() -> None:
    forbidden = answered(APIForbiddenError, 403)
    message = str(failure_of(forbidden, SERVER, ["/api/v1/pods", "/apis/hopper.dev/v1/hopperinstances"]))
    assert message.startswith("not allowed to list and watch hopperinstances, pods: bind")
