"""An AWS on this machine: starts the emulator, and deploys the synthesized stack on it."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

ACCOUNT = "000000000000"
REGION = "us-east-1"
STACK = "Ambo-dev"
# Slow machines under load need most of it; others wait for nothing.
PATIENCE_S = 120


def wait_until(condition: Any, what: str) -> Any:
    """The first true answer of a question that is asked again and again."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE_S} s in vain for {what}")


@dataclass(frozen=True)
class Emulator:
    """The emulator, while it runs."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str) -> Any:
        session = boto3.Session("test", "test", region_name=REGION)
        return session.client(service, endpoint_url=self.url)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


@contextmanager
def running(folder: Path) -> Iterator[Emulator]:
    """Runs the emulator; all that it writes is under `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        emulator = Emulator(free.getsockname()[1])
    environment = os.environ | {
        "GATEWAY_PORT": str(emulator.port),
        "BIND_HOST": "127.0.0.1",
        "AWS_ENDPOINT_URL": emulator.url,
        # It would open another port to everybody.
        "IOT_MTLS_ENABLED": "false",
        "TMPDIR": str(folder),
    }
    with (folder / "ministack.log").open("w") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("ministack"))],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_until(lambda: process.poll() is not None or emulator.answers(), "the emulator")
            assert process.poll() is None, (folder / "ministack.log").read_text()[-2000:]
            yield emulator
        finally:
            process.terminate()
            process.wait(30)


def deploy(emulator: Emulator, assembly: Path) -> dict[str, str]:
    """Deploys the stack as the CDK would: assets to the bucket, then the template. Its outputs."""
    s3 = emulator.client("s3")
    template = ""
    assets = json.loads((assembly / f"{STACK}.assets.json").read_text())
    for asset in assets["files"].values():
        [destination] = asset["destinations"].values()
        bucket = destination["bucketName"]
        bucket = bucket.replace("${AWS::AccountId}", ACCOUNT).replace("${AWS::Region}", REGION)
        source = assembly / asset["source"]["path"]
        is_folder = asset["source"]["packaging"] == "zip"
        s3.create_bucket(Bucket=bucket)
        body = zipped(source) if is_folder else source.read_bytes()
        s3.put_object(Bucket=bucket, Key=destination["objectKey"], Body=body)
        if not is_folder:
            template = f"{emulator.url}/{bucket}/{destination['objectKey']}"
    # What `cdk bootstrap` leaves in an account.
    emulator.client("ssm").put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String"
    )
    cloudformation = emulator.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK, TemplateURL=template, Capabilities=["CAPABILITY_IAM"]
    )

    def stack() -> Any:
        [found] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        return None if found["StackStatus"].endswith("IN_PROGRESS") else found

    made = wait_until(stack, "the stack")
    assert made["StackStatus"] == "CREATE_COMPLETE", made
    return {output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}


def zipped(folder: Path) -> bytes:
    """A folder as the CDK packs it: the right to run a program is kept."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return memory.getvalue()
