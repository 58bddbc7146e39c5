"""The deployed stack, as the tests use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from emulator import Emulator
from gate import Gate

PASSWORD = "Correct-Horse-7"


@dataclass(frozen=True)
class Deployed:
    """The stack, the emulator it is on, and the gate before its functions."""

    emulator: Emulator
    gate: Gate
    outputs: dict[str, str]

    @property
    def api(self) -> str:
        return self.outputs["WebSocketAPIEndpoint"].removeprefix("wss://").split(".")[0]

    @property
    def endpoint(self) -> str:
        """Where the emulator serves what `WebSocketAPIEndpoint` names."""
        return f"ws://127.0.0.1:{self.emulator.port}/_aws/execute-api/{self.api}/prod"

    def token(self, user: str) -> str:
        """Signs somebody up, confirms them, and signs them in."""
        cognito = self.emulator.client("cognito-idp")
        client = self.outputs["UserPoolClientId"]
        cognito.sign_up(
            ClientId=client,
            Username=user,
            Password=PASSWORD,
            UserAttributes=[{"Name": "email", "Value": user}],
        )
        cognito.admin_confirm_sign_up(UserPoolId=self.outputs["UserPoolId"], Username=user)
        signed_in = cognito.initiate_auth(
            ClientId=client,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": user, "PASSWORD": PASSWORD},
        )
        return signed_in["AuthenticationResult"]["IdToken"]

    def stop_the_clock(self) -> None:
        """Leaves it to the tests when the sweep runs: the emulator keeps the schedule, too."""
        events = self.emulator.client("events")
        [rule] = events.list_rules()["Rules"]
        assert rule["ScheduleExpression"] == "rate(1 minute)"
        events.disable_rule(Name=rule["Name"])

    def sweep(self) -> None:
        """Runs the sweep as its schedule does, without waiting for the minute."""
        event = b'{"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}'
        function = self.outputs["DisconnectFunctionName"]
        answer = self.emulator.client("lambda").invoke(FunctionName=function, Payload=event)
        assert "FunctionError" not in answer, answer["Payload"].read()

    @contextmanager
    def changed(self, handler: str, **variables: str) -> Iterator[None]:
        """Runs a function with some variables changed, for a while."""
        functions: Any = self.emulator.client("lambda")
        name = self.outputs[f"{handler.capitalize()}FunctionName"]
        found = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": found | variables}
        )
        yield
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": found})

    def log(self, handler: str) -> list[str]:
        """All lines that a function has written."""
        group = f"/aws/lambda/{self.outputs[f'{handler.capitalize()}FunctionName']}"
        pages = self.emulator.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=group)
        return [event["message"].strip() for page in found for event in page["events"]]


def lead(stack: Deployed, handler: str) -> None:
    """Leads a function through the gate: the stack's addresses are those of AWS itself."""
    functions: Any = stack.emulator.client("lambda")
    name = stack.outputs[f"{handler.capitalize()}FunctionName"]
    found = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    here = {
        f"AWS_ENDPOINT_URL_{service.upper()}": stack.gate.url(handler, service)
        for service in ("dynamodb", "lambda", "translate", "polly")
    }
    if "CONNECTIONS_ENDPOINT" in found:
        path = f"/_aws/execute-api/{stack.api}/prod"
        here["CONNECTIONS_ENDPOINT"] = stack.gate.url(handler, "execute-api") + path
    if "HEARTBEAT_TIMEOUT" in found:
        # The people in these tests send no heartbeats unless that is the point.
        here["HEARTBEAT_TIMEOUT"] = "0"
    if "OIDC_JWKS_URL" in found:
        pool = stack.outputs["UserPoolId"]
        here["OIDC_JWKS_URL"] = f"{stack.emulator.url}/{pool}/.well-known/jwks.json"
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": found | here}
    )
