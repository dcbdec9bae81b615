"""What we answer is what dockerd 20.10 answers (tests/golden/api, written by tests/golden/record-api): every key it gives is there, with the same JSON type and, but for the rows
below, the same value."""
import json
import re

import api_scene
import pytest
from conftest import ROOT, Daemon

GOLDEN = ROOT / "tests/golden/api"
# A pattern of "file path" and why we differ.
DIFFERS = [
    (r".*\.HostConfig\.(Blkio\w+|Devices|Dns|DnsOptions|DnsSearch|PortBindings)", "dockerd says null where the request has nothing; we say [] or {}, which is what the command line sends"),
    (r".*\.HostConfig\.NetworkMode", "newer versions say bridge for default"),
    (r".*\.HostConfig\.(RestartPolicy\.Name|MaskedPaths)", "as newer versions have it"),
    (r".*\.HostConfig\.CgroupnsMode|info\.(CgroupVersion|OomKillDisable|Architecture|SwapLimit|IPv4Forwarding|Warnings)|create\w*\.Warnings", "as the machine is"),
    (r".*\.HostConfig\.Runtime|info\.(DefaultRuntime|Runtimes.*|InitBinary|KernelMemory(TCP)?|Plugins\.(Log|Network)|DriverStatus|SecurityOptions.*|\w+Commit\.\w+|BridgeNf\w+)", "what this daemon has"),
    (r"version\.(Components\[[12]\]\.Name|.*GitCommit|.*GoVersion|.*BuildTime|Platform\.Name)", "what this daemon is"),
    (r"inspect_exited\.NetworkSettings\.Sandbox\w+", "dockerd forgets to clear them"),
    (r"errors\.POST /containers/(none-such|golden-c)/attach.*\[1\]|errors\.GET /v1\.1/version\[1\]", "dockerd answers in plain text; the clients take JSON as well"),
    (r"errors\.POST /containers/golden-a/unpause.*", "a conflict, as with pause"),
    (r'errors\.POST /containers/create .*"(Binds|PidMode|IpcMode)".*', "what is wrong with the request is the client's: 400, and at once, as newer versions"),
    (r'errors\.POST /containers/create .*"NetworkMode": "none-such".*', "found at once, not at the start"),
    (r'errors\.POST /containers/create ("\{"|".*Image.*1\}"|"")\[0\]', "no JSON: 400, as newer versions"),
    (r"errors\.(GET /containers/json\?(filters|limit)=x|POST /images/golden:1/tag\?repo=UPPER|GET /events\?since=x.*)\[0\]", "a bad parameter: 400, as newer versions"),
    (r"errors\.GET /events\?until=1&filters=.*", "an unknown filter is an error here as elsewhere"),
    (r"image\.(DockerVersion|GraphDriver\.Data\.\w+)", "Docker did not make it; it has no directories to work in"),
    (r"untag", "layers are not images here: they are not listed"),
    (r"images\[0\]\.RepoDigests", "newer versions never say null"),
]


def kind(v):
    return "bool" if isinstance(v, bool) else "number" if isinstance(v, (int, float)) or v == "<number>" else type(v).__name__


def differences(want, got, path):
    if isinstance(want, dict) and isinstance(got, dict):
        for k, v in want.items():
            if k not in got:
                yield f"{path}.{k}", f"is missing; dockerd: {json.dumps(v)[:200]}"
            else:
                yield from differences(v, got[k], f"{path}.{k}")
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for i, (a, b) in enumerate(zip(want, got)):
            yield from differences(a, b, f"{path}[{i}]")
    elif kind(want) != kind(got):
        yield path, f"has type {kind(got)} ({json.dumps(got)[:200]}); dockerd: {json.dumps(want)[:200]}"
    elif want != got:
        yield path, f"is {json.dumps(got)[:300]}; dockerd: {json.dumps(want)[:300]}"


@pytest.fixture(scope="module")
def answers(own_network, busybox):
    d = Daemon("golden").start("--bridge", "docker0")
    try:
        yield api_scene.play(d.sock, busybox.read_bytes())
    finally:
        d.clean()
        d.stop()


@pytest.mark.parametrize("name", sorted(p.stem for p in GOLDEN.glob("*.json")))
def test_answers_as_dockerd(answers, name):
    want = json.loads((GOLDEN / f"{name}.json").read_text())
    bad = [f"{p} {text}" for p, text in differences(want, answers[name], name) if not any(re.fullmatch(d, p) for d, _ in DIFFERS)]
    assert not bad, "\n".join(bad)
