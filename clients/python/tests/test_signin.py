"""The token providers, against a Cognito of our own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ambo.signin import Builtin, Cognito, CognitoError


class FakeCognito(HTTPServer):
    """Answers `InitiateAuth` as Cognito does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[dict[str, Any]] = []
        self.is_revoked = False
        self.challenge: str | None = None
        self.lifetime = 3_600

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def answer(self, wish: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append(wish)
        flow, given = wish["AuthFlow"], wish["AuthParameters"]
        if self.challenge:
            return 200, {"ChallengeName": self.challenge, "Session": "s"}
        result = {"IdToken": f"id-{len(self.asked)}", "ExpiresIn": self.lifetime}
        if flow == "REFRESH_TOKEN_AUTH":
            if self.is_revoked or given["REFRESH_TOKEN"] != "r.1":
                return 400, _error("NotAuthorizedException", "Refresh Token has been revoked")
            return 200, {"AuthenticationResult": result}
        if given["PASSWORD"] != "right":
            return 400, _error("NotAuthorizedException", "Incorrect username or password.")
        return 200, {"AuthenticationResult": {**result, "RefreshToken": "r.1"}}


def _error(code: str, message: str) -> dict[str, Any]:
    return {"__type": code, "message": message}


class _Answer(BaseHTTPRequestHandler):
    server: FakeCognito

    def do_POST(self) -> None:
        wish = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Amz-Target"] == "AWSCognitoIdentityProviderService.InitiateAuth"
        assert self.headers["Content-Type"] == "application/x-amz-json-1.1"
        status, body = self.server.answer(wish)
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def pool() -> Iterator[FakeCognito]:
    server = FakeCognito()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_password_gives_a_token_that_is_kept_until_shortly_before_its_end(
    pool: FakeCognito,
) -> None:
    clock = Clock()
    signin = Cognito(
        "eu-central-1",
        "client",
        username="anna",
        password="right",
        endpoint=pool.url,
        clock=clock,
    )
    assert [await signin(), await signin()] == ["id-1", "id-1"]
    assert pool.asked == [
        {
            "AuthFlow": "USER_PASSWORD_AUTH",
            "ClientId": "client",
            "AuthParameters": {"USERNAME": "anna", "PASSWORD": "right"},
        }
    ]
    clock.now += 3_600 - 121
    assert await signin() == "id-1"
    clock.now += 2
    assert await signin() == "id-2"
    assert pool.asked[1]["AuthFlow"] == "REFRESH_TOKEN_AUTH"
    assert signin.refresh_token == "r.1"


async def test_a_revoked_refresh_token_leads_back_to_the_password(pool: FakeCognito) -> None:
    known: dict[str, Any] = {"username": "anna", "password": "right", "refresh_token": "r.0"}
    signin = Cognito("eu-central-1", "client", endpoint=pool.url, **known)
    assert await signin() == "id-2"
    alone = Cognito("eu-central-1", "client", refresh_token="r.0", endpoint=pool.url)
    with pytest.raises(CognitoError, match=r"revoked \(NotAuthorizedException\)"):
        await alone()


async def test_an_app_client_with_a_secret_gets_its_hash(pool: FakeCognito) -> None:
    signin = Cognito(
        "eu-central-1",
        "client",
        username="anna",
        password="right",
        client_secret="s3cret",
        endpoint=pool.url,
    )
    await signin()
    digest = hmac.new(b"s3cret", b"annaclient", hashlib.sha256).digest()
    expected = base64.b64encode(digest).decode()
    assert pool.asked[0]["AuthParameters"]["SECRET_HASH"] == expected


async def test_a_challenge_and_a_wrong_password_are_told(pool: FakeCognito) -> None:
    known: dict[str, Any] = {"username": "anna", "password": "wrong"}
    signin = Cognito("eu-central-1", "client", endpoint=pool.url, **known)
    with pytest.raises(CognitoError, match="Incorrect username or password"):
        await signin()
    pool.challenge = "NEW_PASSWORD_REQUIRED"
    with pytest.raises(CognitoError) as raised:
        await signin()
    assert raised.value.code == "NEW_PASSWORD_REQUIRED"


async def test_a_cognito_that_does_not_answer_is_told() -> None:
    signin = Cognito("x", "client", refresh_token="r", endpoint="http://127.0.0.1:9/")
    with pytest.raises(CognitoError, match="does not answer"):
        await signin()


@pytest.mark.parametrize(
    "given",
    [{}, {"username": "anna"}, {"refresh_token": "r", "client_secret": "s"}],
    ids=["nothing", "no password", "no name for the secret"],
)
def test_too_little_to_sign_in_is_refused_at_once(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="username"):
        Cognito("eu-central-1", "client", **given)  # type: ignore[arg-type]


def test_a_password_does_not_travel_in_the_clear() -> None:
    with pytest.raises(ValueError, match="https"):
        Cognito("x", "client", refresh_token="r", endpoint="http://example.org/")


async def test_the_environment_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMBO_TOKEN", " given\n")
    assert await Builtin(command=("/nowhere",))() == "given"


async def test_the_command_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AMBO_TOKEN", raising=False)
    script = tmp_path / "token.py"
    script.write_text("import sys; print('token-of', *sys.argv[1:], sep='-')")
    assert await Builtin("anna", (sys.executable, str(script)))() == "token-of---user-anna"
    script.write_text("import sys; sys.exit('no key here')")
    with pytest.raises(RuntimeError, match="gives no token: no key here"):
        await Builtin("anna", (sys.executable, str(script)))()
    with pytest.raises(RuntimeError, match="AMBO_TOKEN is not set, and /nowhere does not run"):
        await Builtin(command=("/nowhere",))()
