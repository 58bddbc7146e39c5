"""What IAM would say: the functions reach the emulator through this gate alone.

The emulator lets everybody do everything. The gate stands between the functions and it, reads each
call, and lets it pass if the role that the stack gives to that function allows it.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from emulator import ACCOUNT, REGION, Emulator

Right = tuple[str, str]

JSON = {"Content-Type": "application/x-amz-json-1.0"}
# Not on the emulator. The functions then use the languages they know.
ABSENT = ("translate", "polly")

PARTS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


class Gate:
    """Counts what was asked and what was refused, each as `handler action resource`."""

    def __init__(self, emulator: Emulator, rights: dict[str, list[Right]]) -> None:
        self.emulator = emulator
        self.rights = rights
        self.passed: set[str] = set()
        self.refused: set[str] = set()
        self.port = 0

    def url(self, handler: str, service: str) -> str:
        return f"http://127.0.0.1:{self.port}/{handler}/{service}"

    def lets_pass(self, handler: str, wanted: list[Right]) -> bool:
        allowed = True
        for action, resource in wanted:
            granted = any(
                fnmatchcase(action, a) and fnmatchcase(resource, r) for a, r in self.rights[handler]
            )
            (self.passed if granted else self.refused).add(f"{handler} {action} {resource}")
            allowed = allowed and granted
        return allowed

    def unused(self) -> set[str]:
        """What a role grants of the stack's own things and no function asked for."""
        return {
            f"{handler} {action} {named(resource)}"
            for handler, rights in self.rights.items()
            for action, resource in rights
            # Lambda itself writes the logs.
            if not action.startswith("logs:")
            and not any(
                fnmatchcase(asked, f"{handler} {action} {resource}") for asked in self.passed
            )
        }


def named(resource: str) -> str:
    """A resource by its name in the code: `Ambo-dev-TablesSessions486350CB-…` is Sessions."""
    found = re.search(r"-Tables([A-Za-z]+?)[0-9A-F]{8}-", resource)
    return found.group(1) if found else resource


def roles(emulator: Emulator) -> dict[str, list[Right]]:
    """What each function's role allows, as deployed."""
    iam, functions = emulator.client("iam"), emulator.client("lambda")
    rights: dict[str, list[Right]] = {}
    for function in functions.list_functions()["Functions"]:
        role = function["Role"].split("/")[-1]
        handler = function["Environment"]["Variables"]["HANDLER"]
        rights[handler] = []
        assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for statement in policy["Statement"]:
                assert statement["Effect"] == "Allow"
                for action in listed(statement["Action"]):
                    rights[handler] += [(action, where) for where in listed(statement["Resource"])]
    return rights


def listed(one_or_many: Any) -> list[str]:
    return one_or_many if isinstance(one_or_many, list) else [one_or_many]


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def wanted_of_dynamodb(operation: str, body: dict[str, Any]) -> list[Right]:
    if operation == "TransactWriteItems":
        return [
            (f"dynamodb:{PARTS[kind]}", arn("dynamodb", f"table/{part['TableName']}"))
            for item in body["TransactItems"]
            for kind, part in item.items()
        ]
    tables = list(body["RequestItems"]) if "RequestItems" in body else [body["TableName"]]
    index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
    action = f"dynamodb:{operation}"
    return [(action, arn("dynamodb", f"table/{table}{index}")) for table in tables]


def wanted(service: str, method: str, path: str, target: str, body: bytes) -> list[Right]:
    """What a call needs to be allowed."""
    operation = target.split(".")[-1]
    if service == "dynamodb":
        return wanted_of_dynamodb(operation, json.loads(body))
    if service == "execute-api":
        # /_aws/execute-api/{api}/{stage}/@connections/{id}
        _, _, _, api, stage, *rest = path.split("/")
        resource = f"{api}/{stage}/{method}/{'/'.join(rest)}"
        return [("execute-api:ManageConnections", arn(service, resource))]
    if service == "lambda":
        function = path.split("/functions/")[1].split("/")[0]
        return [("lambda:InvokeFunction", arn(service, f"function:{function}"))]
    if service == "translate":
        return [(f"translate:{operation}", "*")]
    assert (service, path.split("?")[0]) == ("polly", "/v1/voices")
    return [("polly:DescribeVoices", "*")]


def server_of(gate: Gate) -> ThreadingHTTPServer:
    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            _, handler, service, *rest = self.path.split("/")
            path = "/" + "/".join(rest)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target = self.headers.get("X-Amz-Target", "")
            needed = wanted(service, self.command, path, target, body)
            if not gate.lets_pass(handler, needed):
                status, headers, answer = 400, JSON, b'{"__type":"AccessDeniedException"}'
            elif service in ABSENT:
                status, headers, answer = 400, JSON, b'{"__type":"UnknownOperationException"}'
            else:
                status, headers, answer = self.forward(path, body)
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() in ("content-type", "x-amzn-errortype", "x-amz-crc32"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def forward(self, path: str, body: bytes) -> tuple[int, Any, bytes]:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            request = urllib.request.Request(
                gate.emulator.url + path, body or None, headers, method=self.command
            )
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status, answer.headers, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.headers, error.read()

        do_GET = do_POST = do_DELETE = serve

        def log_message(self, *_: Any) -> None:
            pass

    class Wall(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            # A function that gave up waiting, or an emulator that has stopped.
            if not isinstance(sys.exc_info()[1], OSError):
                super().handle_error(request, client_address)

    return Wall(("127.0.0.1", 0), Door)


@contextmanager
def standing(emulator: Emulator) -> Iterator[Gate]:
    """A gate that is open as far as the deployed roles say."""
    gate = Gate(emulator, roles(emulator))
    with server_of(gate) as server:
        gate.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield gate
        finally:
            server.shutdown()
            thread.join()
