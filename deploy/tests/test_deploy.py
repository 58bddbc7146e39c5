"""What stands in deploy/ is held against its own tools and against what the server takes."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[1]
KUBERNETES = DEPLOY / "kubernetes"
MANIFESTS = sorted(DEPLOY.glob("kubernetes*/*.yaml"))
AMBO = os.environ.get("AMBO_BIN", str(DEPLOY.parent / "target/debug/ambo"))
# What the Secret gives.
TOKEN = {"AMBO_ADMIN_TOKEN": "0123456789abcdef"}
# What closing the rest and writing what is left may take after a drain, in seconds.
CLOSING = 10
# The Kubernetes that is oldest among those with support, and one of the newest.
VERSIONS = ["1.33", "1.36"]


def documents(path: Path) -> list[dict]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def of_kind(kind: str, name: str) -> dict:
    found = [
        document
        for path in MANIFESTS
        for document in documents(path)
        if document["kind"] == kind and document["metadata"]["name"] == name
    ]
    assert len(found) == 1, f"{kind} {name}"
    return found[0]


def variables(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def settings() -> dict[str, str]:
    return variables((KUBERNETES / "ambo.env").read_text())


def seconds(span: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([sm])", span).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def run(*command: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """The exit code of a command, and all that it said."""
    done = subprocess.run(  # noqa: S603 - every command stands in this file
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def check_config(given: dict[str, str]) -> str:
    return run(AMBO, "check-config", env=given)[1]


# ---- Kubernetes ----


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_what_kubernetes_takes(version):
    for path in MANIFESTS:
        for document in documents(path):
            if document["kind"] != "Kustomization":
                kubernetes_validate.validate(document, version, strict=True)


def test_the_validator_would_tell_a_mistake():
    deployment = of_kind("Deployment", "ambo")
    deployment["spec"]["replica"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


def test_each_kustomization_names_its_files_and_no_other():
    kustomizations = [path for path in MANIFESTS if path.name == "kustomization.yaml"]
    assert len(kustomizations) == 2
    for path in kustomizations:
        listed = set(documents(path)[0]["resources"])
        bases = {name for name in listed if name.startswith("..")}
        assert all((path.parent / base / path.name).exists() for base in bases)
        there = {file.name for file in path.parent.glob("*.yaml")} - {path.name}
        assert listed - bases == there, path


def test_every_name_that_is_used_is_there():
    deployment = of_kind("Deployment", "ambo")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    service = of_kind("Service", "ambo")["spec"]
    assert service["selector"] == labels
    budget = of_kind("PodDisruptionBudget", "ambo")["spec"]
    assert budget["selector"]["matchLabels"] == labels
    pod = deployment["template"]["spec"]
    spread = pod["topologySpreadConstraints"][0]
    assert spread["labelSelector"]["matchLabels"] == labels
    container = pod["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert [port["targetPort"] for port in service["ports"]] == ["http"]
    assert ports == {
        "http": int(settings()["AMBO_LISTEN"].rsplit(":", 1)[1]),
        "admin": int(settings()["AMBO_ADMIN_LISTEN"].rsplit(":", 1)[1]),
    }
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    data = settings()["AMBO_DATA_DIR"]
    assert all(mount["mountPath"].startswith(data) for mount in container["volumeMounts"])
    assert documents(KUBERNETES / "kustomization.yaml")[0]["images"][0]["name"] == "ambo"
    assert container["image"].startswith("ambo:")


def test_probes_ask_what_they_are_for():
    container = of_kind("Deployment", "ambo")["spec"]["template"]["spec"]["containers"][0]
    for probe, path in [("startup", "healthz"), ("liveness", "healthz"), ("readiness", "readyz")]:
        asked = container[f"{probe}Probe"]["httpGet"]
        assert (asked["path"], asked["port"]) == (f"/{path}", "admin")


def test_a_pod_is_given_the_time_to_drain():
    drain = seconds(settings()["AMBO_DRAIN_DELAY"]) + seconds(settings()["AMBO_DRAIN_PERIOD"])
    deployment = of_kind("Deployment", "ambo")["spec"]
    pod = deployment["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= drain + CLOSING
    assert deployment["minReadySeconds"] >= drain + CLOSING, "two pods would drain at once"
    readiness = pod["containers"][0]["readinessProbe"]
    noticed = readiness["periodSeconds"] * readiness["failureThreshold"]
    assert seconds(settings()["AMBO_DRAIN_DELAY"]) >= noticed


def test_pods_may_do_nothing_they_need_not():
    for kind, name in [("Deployment", "ambo"), ("StatefulSet", "ambo-redis")]:
        pod = of_kind(kind, name)["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_the_server_takes_the_settings_of_the_manifests():
    given = settings()
    assert "needs admin_token" in check_config(given), "the Secret is to be needed"
    given |= TOKEN
    assert check_config(given) == "The configuration is good.\n"
    # What is commented out is there to be used.
    text = re.sub(r"^#(AMBO_)", r"\1", (KUBERNETES / "ambo.env").read_text(), flags=re.M)
    given = variables(text) | TOKEN
    assert check_config(given) == "The configuration is good.\n"


# ---- systemd ----


def unit(name: str) -> list[tuple[str, str]]:
    lines = (DEPLOY / name).read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    return [(key, value) for key, value in pairs]


def test_units_give_the_server_the_time_to_drain():
    # The default of drain_period, as the server tells it.
    defaults = run(AMBO, "config", "--defaults")[1]
    period = re.search(r'^drain_period = "(\w+)"', defaults, flags=re.M).group(1)
    for name in ["ambo.service", "ambo@.service"]:
        assert int(dict(unit(name))["TimeoutStopSec"]) >= seconds(period) + CLOSING


def test_the_template_differs_from_the_unit_in_what_is_the_instances():
    about = {"Description", "EnvironmentFile", "StateDirectory"}
    one, many = (
        [pair for pair in unit(name) if pair[0] not in about]
        for name in ["ambo.service", "ambo@.service"]
    )
    assert one == many
    assert dict(unit("ambo@.service"))["StateDirectory"] == "ambo/%i"


@pytest.mark.parametrize("name", ["ambo.service", "ambo@.service"])
def test_systemd_takes_the_units(name, tmp_path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        # No systemd, such as on a Mac: nothing to hold it against but the tests above.
        return
    # The program must be there to be verified.
    text = (DEPLOY / name).read_text().replace("/usr/local/bin/ambo", AMBO)
    path = tmp_path / name.replace("@.", "@1.")
    path.write_text(text)
    assert run(tool, "verify", "--man=no", path) == (0, "")


# ---- HAProxy ----


def test_haproxy_takes_its_configuration(tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-keyout", key, "-out", certificate]
    code, said = run("openssl", "req", "-x509", *curve, "-subj", "/CN=ambo.example.org", *files)
    assert code == 0, said
    both = tmp_path / "ambo.pem"
    both.write_text(certificate.read_text() + key.read_text())
    text = (DEPLOY / "haproxy.cfg").read_text().replace("/etc/haproxy/ambo.pem", str(both))
    # The socket that the guide asks is commented out, and there to be used.
    guide = (DEPLOY.parent / "docs/operations.md").read_text()
    asked = re.search(r"socat stdio (\S+)", guide).group(1)
    assert f"#stats socket {asked} " in text
    path = tmp_path / "haproxy.cfg"
    path.write_text(text.replace("#stats socket", "stats socket"))
    code, said = run("haproxy", "-c", "-f", path)
    assert code == 0, said
    assert "[WARNING]" not in said


def test_haproxy_notices_a_node_that_leaves_within_the_drain_delay_it_asks_for():
    text = (DEPLOY / "haproxy.cfg").read_text()
    delay = seconds(re.search(r"AMBO_DRAIN_DELAY=(\w+)", text).group(1))
    inter, fall = re.search(r"check inter (\d+)s fall (\d+)", text).groups()
    assert delay > int(inter) * int(fall)
    tunnel = int(re.search(r"timeout tunnel (\d+)s", text).group(1))
    # As long as a node takes before it gives a silent client up.
    assert tunnel > 90


# ---- the image ----


def test_the_image_is_built_of_files_that_are_there_and_runs_as_nobody():
    text = (DEPLOY / "Dockerfile").read_text()
    final = text.rsplit("FROM ", 1)[1]
    user = re.search(r"^USER (\d+):(\d+)$", final, flags=re.M).groups()
    context = of_kind("Deployment", "ambo")["spec"]["template"]["spec"]["securityContext"]
    assert user == (str(context["runAsUser"]), str(context["runAsGroup"]))
    given = dict(pair.split("=", 1) for pair in re.search(r"^ENV (.*)$", final, re.M)[1].split())
    assert check_config(given) == "The configuration is good.\n"
    manifest = (DEPLOY.parent / "Cargo.toml").read_text()
    wanted = re.search(r'^rust-version = "(.*)"', manifest, flags=re.M).group(1)
    assert f"FROM rust:{wanted}-" in text
    sent = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for line in sent:
        if line.startswith("!"):
            assert (DEPLOY.parent / line[1:]).exists(), line
