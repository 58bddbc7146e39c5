"""What `python -m build` makes installs into an empty project and works."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import ambo
from tests.real import ROOT

PROJECT = ROOT / "clients" / "python"
PROGRAM = """
import asyncio, ambo, ambo.signin, ambo.wav
try:
    asyncio.run(ambo.Listener("ws://127.0.0.1:9/ws", "faithful-shepherd-427", "es").connect())
except ambo.ClosedError as error:
    print(ambo.__version__, ambo.__file__, error)
"""


def run(*command: str | Path, cwd: Path) -> str:
    # Nothing of this environment may help.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_artefacts_install_and_work(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", "-o", tmp_path / "dist", PROJECT, cwd=ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (source,) = (tmp_path / "dist").glob("*.tar.gz")
    assert wheel.name == f"ambo-{ambo.__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert "ambo/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any("test" in name for name in names)
    with tarfile.open(source) as archive:
        assert not any("/tests/" in name for name in archive.getnames())
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "-q")
    run(*pip, wheel, cwd=tmp_path)
    version, file, *why = run(python, "-c", PROGRAM, cwd=tmp_path).split()
    assert version == ambo.__version__
    assert Path(file).is_relative_to(tmp_path / "empty")
    assert " ".join(why).startswith("no connection to the server")


def test_the_version_is_that_of_the_workspace() -> None:
    found = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert found
    assert found[1] == ambo.__version__


def test_files_and_functions_are_short() -> None:
    """The rule of the house: 400 lines a file, 60 a function; tests may have more."""
    for path in (PROJECT / "src").rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"
