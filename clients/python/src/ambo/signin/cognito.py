"""Tokens of an Amazon Cognito user pool, over plain HTTPS.

The app client must allow `ALLOW_USER_PASSWORD_AUTH` (to sign in with a password) and
`ALLOW_REFRESH_TOKEN_AUTH`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

_LIMIT = 8.0
"""Seconds for an answer, less than a connect may take."""
_EARLY = 120.0
"""Seconds before its end in which a token is not used: the server must find it valid."""
_MAX_BODY = 256 * 1024
"""Bytes of an answer that are read; three tokens have some 10 KiB."""


class CognitoError(Exception):
    """Cognito gives no token; `code` is its word for the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})" if message else code)
        self.code = code


class Cognito:
    """Signs a user in, and gives tokens for as long as the refresh token lasts.

    ```python
    signin = Cognito("eu-central-1", client_id, username="anna", password=password)
    Speaker(url, "en", token=signin)
    ```

    A token is kept until shortly before its end.
    """

    def __init__(
        self,
        region: str,
        client_id: str,
        *,
        username: str | None = None,
        password: str | None = None,
        refresh_token: str | None = None,
        client_secret: str | None = None,
        endpoint: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Give a user's name and password, or a refresh token, or both.

        An app client with a secret needs the user's name in either case.
        """
        if refresh_token is None and (username is None or password is None):
            raise ValueError("give a username and a password, or a refresh token")
        if client_secret is not None and username is None:
            raise ValueError("an app client with a secret needs the username too")
        self._endpoint = endpoint or f"https://cognito-idp.{region}.amazonaws.com/"
        if not self._endpoint.startswith(("https://", "http://127.0.0.1:")):
            raise ValueError("a password travels over https:// only")
        self._client_id = client_id
        self._username = username
        self._password = password
        self._refresh_token = refresh_token
        self._client_secret = client_secret
        self._clock = clock
        self._token: str | None = None
        self._valid_until = 0.0
        self._one_at_a_time = asyncio.Lock()

    @property
    def refresh_token(self) -> str | None:
        """To sign in again without a password. A secret: keep it like one."""
        return self._refresh_token

    async def __call__(self) -> str:
        """A token that is good for two minutes at least."""
        async with self._one_at_a_time:
            if self._token is None or self._clock() >= self._valid_until - _EARLY:
                await self._sign_in()
            assert self._token is not None
            return self._token

    async def _sign_in(self) -> None:
        if self._refresh_token is not None:
            try:
                await self._ask("REFRESH_TOKEN_AUTH", {"REFRESH_TOKEN": self._refresh_token})
                return
            except CognitoError as error:
                # It is too old, or was revoked. With a password there is another way.
                if error.code != "NotAuthorizedException" or self._password is None:
                    raise
                self._refresh_token = None
        assert self._username is not None
        assert self._password is not None
        user = {"USERNAME": self._username, "PASSWORD": self._password}
        await self._ask("USER_PASSWORD_AUTH", user)

    async def _ask(self, flow: str, parameters: dict[str, str]) -> None:
        if self._client_secret is not None and self._username is not None:
            text = (self._username + self._client_id).encode()
            digest = hmac.new(self._client_secret.encode(), text, hashlib.sha256).digest()
            parameters["SECRET_HASH"] = base64.b64encode(digest).decode()
        wish = {"AuthFlow": flow, "ClientId": self._client_id, "AuthParameters": parameters}
        answer = await asyncio.to_thread(self._post, wish)
        if challenge := answer.get("ChallengeName"):
            raise CognitoError(str(challenge), "the user must answer a challenge first")
        result = answer.get("AuthenticationResult")
        if not isinstance(result, dict) or not isinstance(result.get("IdToken"), str):
            raise CognitoError("UnexpectedAnswer", "Cognito gave no token")
        lifetime = result.get("ExpiresIn")
        self._token = result["IdToken"]
        self._valid_until = self._clock() + (lifetime if isinstance(lifetime, int) else 0)
        # An answer to a refresh has no new one unless the pool rotates them.
        self._refresh_token = result.get("RefreshToken") or self._refresh_token

    def _post(self, wish: Mapping[str, object]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._endpoint,
            data=json.dumps(wish).encode(),
            headers={
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=_LIMIT) as response:
                return _object(response.read(_MAX_BODY))
        except urllib.error.HTTPError as error:
            told = _object(error.read(_MAX_BODY))
            code = str(told.get("__type") or f"HTTP_{error.code}").rsplit("#", 1)[-1]
            raise CognitoError(code, str(told.get("message") or "")) from error
        except OSError as error:
            raise CognitoError("Unreachable", f"Cognito does not answer: {error}") from error


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
