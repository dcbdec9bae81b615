"""What Docker has and Pontoon has not: every client gets a sentence, at once, and goes on working."""
import json
import re
import subprocess

import pytest
from conftest import Client, programs

SWARM = [("service", "ls"), ("service", "create", "alpine"), ("node", "ls"), ("stack", "ls"), ("secret", "ls"), ("config", "ls"), ("swarm", "ca"), ("swarm", "join-token", "worker")]


@pytest.fixture(params=[n for n, _ in programs() if n.startswith("docker")])
def docker(request, daemon):
    yield Client(request.param, dict(programs())[request.param], daemon)
    daemon.clean()


@pytest.mark.parametrize("args", SWARM, ids=" ".join)
def test_swarm_is_elsewhere(docker, args):
    r = docker(*args, ok=False, timeout=20)
    assert "This node is not a swarm manager" in r.err or "has no swarm mode" in r.err, r


def test_swarm_init_and_leave(docker):
    r = docker("swarm", "init", ok=False, timeout=20)
    assert "has no swarm mode" in r.err and "docker-compose" in r.err
    assert "This node is not part of a swarm" in docker("swarm", "leave", ok=False).err
    assert "has no swarm mode" in docker("swarm", "join", "--token", "SWMTKN-1-x-y", "192.0.2.1:2377", ok=False).err
    assert docker.out("info", "--format", "{{.Swarm.LocalNodeState}}") == "inactive"


def test_build_says_how(docker, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM alpine\nRUN true\n")
    (tmp_path / "large").write_bytes(b"x" * 3000000)
    env = dict(docker.daemon.env(), DOCKER_BUILDKIT="0")
    p = subprocess.run([docker.program, "build", "-t", "x", str(tmp_path)], env=env, capture_output=True, text=True, timeout=60)
    assert p.returncode != 0 and "docker load -i" in p.stderr and "buildah" in p.stderr, p.stderr
    for path in "/session", "/grpc":
        status, answer = docker.daemon.api("POST", path, headers={"Connection": "Upgrade", "Upgrade": "h2c"})
        assert status == 501 and "docker load" in answer["message"]


def test_plugins_are_none(docker):
    assert docker.out("plugin", "ls", "-q") == ""
    assert re.search("no plugins", docker("plugin", "install", "--grant-all-permissions", "vieux/sshfs", ok=False).err)
    assert re.search(r'plugin "x" not found|No such plugin: x', docker("plugin", "inspect", "x", ok=False).err)
    assert docker.daemon.api("DELETE", "/plugins/x") == (404, {"message": 'plugin "x" not found'})
    assert docker.daemon.api("GET", '/plugins?filters={"none":["x"]}'.replace('"', "%22"))[0] == 400


def test_checkpoints_and_websockets(daemon, any_cli):
    any_cli.out("run", "-d", "--name", "cc", "alpine", "sleep", "1h")
    for method, path in ("GET", "/containers/cc/checkpoints"), ("POST", "/containers/cc/checkpoints"), ("DELETE", "/containers/cc/checkpoints/x"), ("GET", "/containers/cc/attach/ws?stream=1"):
        status, answer = daemon.api(method, path)
        assert status == 501 and "Pontoon" in answer["message"], (path, answer)


def test_inspect_of_what_is_not_there(docker):
    r = docker("inspect", "none-such", ok=False)
    assert "No such object: none-such" in r.err


def test_headers_of_ping(daemon):
    for method in "HEAD", "GET":
        status, body = daemon.api(method, "/_ping")
        h = daemon.headers
        assert (status, body) == (200, b"OK" if method == "GET" else b"")
        assert (h["Api-Version"], h["Ostype"], h["Docker-Experimental"], h["Builder-Version"], h["Swarm"], h["Pragma"]) == ("1.51", "linux", "false", "1", "inactive", "no-cache")
        assert h["Server"].startswith("Pontoon/") and "no-store" in h["Cache-Control"]


def test_system_df(daemon, any_cli):
    any_cli.out("run", "--name", "writer", "alpine", "sh", "-c", "head -c 100000 /dev/zero > /zeros")
    df = daemon.api("GET", "/system/df")[1]
    [image] = [i for i in df["Images"] if i["RepoTags"] == ["alpine:latest"]]
    assert image["Containers"] == 1 and image["SharedSize"] == 0 and df["LayersSize"] >= image["Size"] > 0
    [c] = df["Containers"]
    assert 100000 <= c["SizeRw"] < 120000 and c["SizeRootFs"] == c["SizeRw"] + image["Size"]
    assert df["BuildCache"] == [] and "BuilderSize" not in df
    assert daemon.api("GET", "/v1.41/system/df")[1]["BuilderSize"] == 0
    only = daemon.api("GET", "/system/df?type=container&type=build-cache")[1]
    assert only["Images"] is None and only["Volumes"] is None and only["LayersSize"] == 0 and len(only["Containers"]) == 1 and only["BuildCache"] == []
    assert daemon.api("GET", "/system/df?type=x")[0] == 400
    assert daemon.api("GET", "/containers/writer/json?size=1")[1]["SizeRw"] == c["SizeRw"]
    assert daemon.api("GET", "/containers/json?all=1&size=1")[1][0]["SizeRw"] == c["SizeRw"]
    assert "SizeRw" not in daemon.api("GET", "/containers/json?all=1")[1][0]


def test_system_df_of_clients(docker):
    docker.out("run", "-d", "--name", "writer", "alpine", "sh", "-c", "head -c 100000 /dev/zero > /zeros; sleep 1h")
    text = docker.out("system", "df")
    assert re.search(r"^Images +\d+ +1 +", text, re.M) and re.search(r"^Containers +1 +1 +", text, re.M) and re.search(r"^Build Cache +0 +0 +0B", text, re.M), text
    text = docker.out("system", "df", "-v")
    assert re.search(r"writer", text) and "Images space usage:" in text
    assert re.search(r"\(virtual [\d.]+MB\)", docker.out("ps", "-s"))


def test_system_prune(docker):
    docker.out("run", "--name", "gone", "alpine", "true")
    docker.out("network", "create", "unused")
    text = docker.out("system", "prune", "-f")
    assert "Deleted Containers:" in text and "unused" in text and "Total reclaimed space:" in text
    assert docker.daemon.api("GET", "/images/alpine/json")[0] == 200
    assert docker.out("builder", "prune", "-f").startswith("Total")


def test_info_tells_the_truth(daemon, any_cli):
    info = daemon.api("GET", "/info")[1]
    assert info["Plugins"]["Volume"] == ["local"] and {"bridge", "host", "null"} <= set(info["Plugins"]["Network"]) and "overlay" not in info["Plugins"]["Network"]
    assert info["IPv4Forwarding"] == (open("/proc/sys/net/ipv4/ip_forward").read().strip() == "1")
    assert dict(info["DriverStatus"])["Backing Filesystem"] == "tmpfs"
    assert info["FirewallBackend"] == {"Driver": "iptables"} and "FirewallBackend" not in daemon.api("GET", "/v1.48/info")[1]
    any_cli.out("run", "-d", "alpine", "sleep", "1h")
    after = daemon.api("GET", "/info")[1]
    assert after["ContainersRunning"] == info["ContainersRunning"] + 1 and after["Images"] == info["Images"]
    assert json.dumps(after["Runtimes"]).count("path") >= 1 and after["DefaultRuntime"] in after["Runtimes"]
