"""One deployed stack for all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import emulator
import gate
from deployed import Deployed, lead

INFRASTRUCTURE = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthesized template, with a bootstrap that runs on this machine."""
    built = os.environ.get("AMBO_E2E_BOOTSTRAP", "")
    assert built, "AMBO_E2E_BOOTSTRAP must name a bootstrap for this machine: make test-aws-e2e"
    asset, folder = tmp_path_factory.mktemp("asset"), tmp_path_factory.mktemp("assembly")
    shutil.copy(built, asset / "bootstrap")
    subprocess.run(
        ["node", "--import", "tsx", "test/emulated.ts", str(asset)],
        cwd=INFRASTRUCTURE,
        env=os.environ | {"CDK_OUTDIR": str(folder)},
        check=True,
    )
    return folder


@pytest.fixture(scope="session")
def deployed(assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with emulator.running(tmp_path_factory.mktemp("emulator")) as running:
        outputs = emulator.deploy(running, assembly)
        with gate.standing(running) as standing:
            stack = Deployed(running, standing, outputs)
            stack.stop_the_clock()
            for handler in standing.rights:
                lead(stack, handler)
            yield stack
