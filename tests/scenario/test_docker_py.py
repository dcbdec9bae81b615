"""What programs do with docker-py (Debian's python3-docker): the high-level client and the low-level one, and Compose v2's calls as raw requests."""
import io
import json
import tarfile
import threading
import time
import urllib.parse

import pytest
from conftest import wait_until

docker = pytest.importorskip("docker")


@pytest.fixture(scope="module")
def client(daemon):
    c = docker.DockerClient(base_url=f"unix://{daemon.sock}", timeout=60)
    yield c
    daemon.clean()
    daemon.api("POST", "/networks/prune")
    c.close()


@pytest.fixture
def made(client):
    """Containers that a test made go with it."""
    before = {c.id for c in client.containers.list(all=True)}
    yield
    for c in client.containers.list(all=True):
        if c.id not in before:
            c.remove(force=True, v=True)


def test_system(client):
    assert client.ping() is True
    v = client.version()
    assert v["ApiVersion"] == "1.51" and v["Os"] == "linux" and {c["Name"] for c in v["Components"]} >= {"Engine", "conmon"}
    info = client.info()
    assert info["Driver"] == "overlay2" and info["OSType"] == "linux" and info["ID"]
    assert set(client.df()) >= {"LayersSize", "Images", "Containers", "Volumes", "BuildCache"}


def test_run(client, made):
    assert client.containers.run("alpine", "echo hello", remove=True) == b"hello\n"
    assert client.containers.run("alpine", ["sh", "-c", "echo out; echo err >&2"], stdout=False, stderr=True, remove=True) == b"err\n"
    with pytest.raises(docker.errors.ContainerError) as x:
        client.containers.run("alpine", ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    assert x.value.exit_status == 3 and b"why" in x.value.stderr
    with pytest.raises(docker.errors.APIError) as x:
        client.containers.run("alpine", "no-such-program")
    assert x.value.status_code == 400 and "executable file not found" in str(x.value)
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("none-such")


def test_life(client, made):
    c = client.containers.run("alpine", ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"], detach=True, name="py-life", labels={"a": "b"}, environment={"E": "1"}, hostname="hh", mem_limit="64m")
    assert c.status in ("created", "running") and c.name == "py-life" and c.labels == {"a": "b"}
    c.reload()
    assert c.status == "running" and c.attrs["HostConfig"]["Memory"] == 64 << 20 and c.attrs["Config"]["Hostname"] == "hh" and c.image.tags == ["alpine:latest"]
    c.pause()
    c.reload()
    assert c.status == "paused"
    c.unpause()
    c.restart(timeout=5)
    c.rename("py-lives")
    c.reload()
    assert c.name == "py-lives" and c.status == "running"
    assert c.top()["Titles"][0] == "UID" and c.top(ps_args="-o pid,comm")["Titles"] == ["PID", "COMMAND"]
    c.stop(timeout=5)
    assert c.wait()["StatusCode"] == 0
    c.start()
    c.kill("SIGKILL")
    assert c.wait(condition="not-running")["StatusCode"] == 137
    c.remove()
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("py-lives")


def test_lists_and_filters(client, made):
    c = client.containers.run("alpine", "sleep 1h", detach=True, name="py-listed", labels={"team": "x"})
    assert [x.name for x in client.containers.list(filters={"label": "team=x"})] == ["py-listed"]
    assert [x.name for x in client.containers.list(filters={"label": ["team=x", "none"]})] == []
    assert [x.name for x in client.containers.list(filters={"name": "py-listed", "status": "running"})] == ["py-listed"]
    assert [x.id for x in client.containers.list(filters={"id": c.short_id})] == [c.id]
    assert client.containers.list(all=True, limit=1)[0].id == c.id
    assert c.id in [x.id for x in client.containers.list(filters={"ancestor": "alpine"})]
    assert client.containers.list(filters={"before": "py-listed", "name": "py-listed"}) == []
    assert client.containers.list(sparse=True, filters={"name": "py-listed"})[0].attrs["State"] == "running"


def test_logs(client, made):
    c = client.containers.run("alpine", ["sh", "-c", "for i in 1 2 3; do echo line $i; done; echo problem >&2"], detach=True)
    c.wait()
    assert c.logs(stderr=False) == b"line 1\nline 2\nline 3\n" and c.logs(stdout=False) == b"problem\n"
    assert c.logs(tail=1, stderr=False) == b"line 3\n"
    assert c.logs(timestamps=True, tail=1, stderr=False).split()[0].endswith(b"Z")
    assert c.logs(since=int(time.time()) - 60, stderr=False).count(b"line") == 3 and c.logs(until=int(time.time()) - 3600) == b""
    talker = client.containers.run("alpine", ["sh", "-c", "for i in 1 2 3; do echo tick $i; sleep 0.1; done"], detach=True)
    assert b"".join(talker.logs(stream=True, follow=True)) == b"tick 1\ntick 2\ntick 3\n"


def test_exec(client, made):
    c = client.containers.run("alpine", "sleep 1h", detach=True)
    assert c.exec_run("echo hello") == (0, b"hello\n")
    assert c.exec_run(["sh", "-c", "echo $A; pwd; id -u; exit 5"], environment={"A": "b"}, workdir="/tmp", user="1000") == (5, b"b\n/tmp\n1000\n")
    assert c.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True) == (0, (b"out\n", b"err\n"))
    assert b"".join(c.exec_run(["sh", "-c", "echo 1; sleep 0.1; echo 2"], stream=True).output) == b"1\n2\n"
    assert c.exec_run("tty", tty=True).output.strip() == b"/dev/pts/0"
    assert c.exec_run("no-such-program").exit_code == 127
    i = client.api.exec_create(c.id, "cat", stdin=True)["Id"]
    s = client.api.exec_start(i, socket=True)
    s._sock.sendall(b"through a socket\n")
    s._sock.shutdown(1)
    frames = b""
    while data := s._sock.recv(4096):
        frames += data
    assert frames[8:] == b"through a socket\n" and frames[0] == 1
    assert wait_until(lambda: client.api.exec_inspect(i)["Running"] is False) and client.api.exec_inspect(i)["ExitCode"] == 0
    c.exec_run("touch /detached", detach=True)
    assert wait_until(lambda: c.exec_run("ls /detached").exit_code == 0)


def test_attach(client, made):
    c = client.containers.create("alpine", "cat", stdin_open=True)
    s = c.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    c.start()
    s._sock.sendall(b"back please\n")
    s._sock.shutdown(1)
    data = b""
    while block := s._sock.recv(4096):
        data += block
    assert data[8:] == b"back please\n" and c.wait()["StatusCode"] == 0


def test_stats(client, made):
    c = client.containers.run("alpine", "sleep 1h", detach=True)
    s = c.stats(stream=False)
    assert s["pids_stats"]["current"] >= 1 and s["memory_stats"]["usage"] > 0 and s["cpu_stats"]["cpu_usage"]["total_usage"] > 0 and "eth0" in s["networks"]
    first, second = next(g := c.stats(decode=True)), next(g)
    assert second["read"] > first["read"]


def test_archives(client, made):
    c = client.containers.run("alpine", "sleep 1h", detach=True, volumes={"py-arch": {"bind": "/data", "mode": "rw"}})
    given = io.BytesIO()
    with tarfile.open(fileobj=given, mode="w") as t:
        entry = tarfile.TarInfo("dir/file")
        entry.size, entry.mode, entry.uid, entry.gid, entry.mtime = 5, 0o640, 1000, 50, 1700000000
        t.addfile(entry, io.BytesIO(b"kept\n"))
    for place in "/tmp", "/data":
        assert c.put_archive(place, given.getvalue()) is True
        assert c.exec_run(f"stat -c '%a %u %g %Y' {place}/dir/file").output == b"640 1000 50 1700000000\n"
        stream, stat = c.get_archive(f"{place}/dir")
        assert stat["name"] == "dir" and stat["mode"] & (1 << 31)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as t:
            assert t.getnames() == ["dir", "dir/file"] and t.extractfile("dir/file").read() == b"kept\n" and t.getmember("dir/file").uid == 1000
    assert {d["Path"]: d["Kind"] for d in c.diff() if d["Path"].startswith("/tmp")} == {"/tmp": 0, "/tmp/dir": 1, "/tmp/dir/file": 1}
    with tarfile.open(fileobj=io.BytesIO(b"".join(c.export()))) as t:
        assert "tmp/dir/file" in t.getnames() and "data/dir/file" not in t.getnames()
    for call in (lambda: c.get_archive("/none"), lambda: c.put_archive("/none", given.getvalue())):
        with pytest.raises(docker.errors.NotFound):
            call()
    c.remove(force=True)
    # the volume has kept it, and goes with its name
    assert client.containers.run("alpine", "cat /data/dir/file", volumes={"py-arch": {"bind": "/data", "mode": "ro"}}, remove=True) == b"kept\n"
    client.volumes.get("py-arch").remove()


def test_update(client, made):
    c = client.containers.run("alpine", "sleep 1h", detach=True, mem_limit="64m")
    assert c.update(mem_limit="96m", memswap_limit="96m", restart_policy={"Name": "on-failure", "MaximumRetryCount": 2}) ["Warnings"] in (None, [])
    c.reload()
    assert c.attrs["HostConfig"]["Memory"] == 96 << 20 and c.attrs["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}


def test_health(client, made):
    c = client.containers.run("alpine", "sleep 1h", detach=True, healthcheck={"test": ["CMD-SHELL", "true"], "interval": 200000000, "retries": 1})
    assert wait_until(lambda: (c.reload(), c.attrs["State"]["Health"]["Status"] == "healthy")[1])
    assert client.containers.list(filters={"health": "healthy"})[0].id == c.id


def test_images(client, busybox):
    image = client.images.get("alpine")
    assert image.tags == ["alpine:latest"] and image.id.startswith("sha256:") and len(image.short_id) == 17 and image.attrs["Os"] == "linux"
    assert image.tag("py-alias", "1") is True
    assert sorted(client.images.get("alpine").tags) == ["alpine:latest", "py-alias:1"]
    assert [i.id for i in client.images.list(name="py-alias")] == [image.id]
    assert client.api.images("py-alias")[0]["RepoTags"] == ["py-alias:1"]
    client.images.remove("py-alias:1")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("py-alias:1")
    assert len(image.history()) == 1
    text = client.api.import_image_from_data(busybox.read_bytes(), repository="py-imported", tag="2", changes=["ENV A=b"])
    assert json.loads(text.splitlines()[-1])["status"].startswith("sha256:")
    assert client.images.get("py-imported:2").attrs["Config"]["Env"] == ["A=b"]
    client.images.remove("py-imported:2")
    saved = b"".join(image.save(named=True))
    assert [i.tags for i in client.images.load(saved)] == [["alpine:latest"]], "progress and what was loaded: several JSON texts"
    assert client.images.prune(filters={"dangling": True})["SpaceReclaimed"] >= 0


def test_networks(client, made):
    pool = docker.types.IPAMPool(subnet="10.88.0.0/24", gateway="10.88.0.1")
    n = client.networks.create("py-net", driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"a": "b"}, internal=False)
    try:
        assert n.attrs["IPAM"]["Config"][0]["Subnet"] == "10.88.0.0/24" and n.attrs["Labels"] == {"a": "b"}
        a = client.containers.run("alpine", "sleep 1h", detach=True, name="py-a", network="py-net")
        b = client.containers.run("alpine", "sleep 1h", detach=True, name="py-b")
        n.connect(b, aliases=["bee"], ipv4_address="10.88.0.77")
        assert a.exec_run("ping -c1 -W2 bee").exit_code == 0
        n.reload()
        assert {c.name for c in n.containers} == {"py-a", "py-b"}
        n.disconnect(b)
        n.reload()
        assert [c.name for c in n.containers] == ["py-a"]
        assert [x.name for x in client.networks.list(names=["py-net"])] == ["py-net"] and [x.name for x in client.networks.list(filters={"label": "a=b"})] == ["py-net"]
        with pytest.raises(docker.errors.APIError) as x:
            n.remove()
        assert x.value.status_code == 403 and "has active endpoints" in x.value.explanation
        a.remove(force=True)
    finally:
        n.reload()
        for c in n.containers:
            n.disconnect(c, force=True)
        n.remove()
    assert client.networks.list(names=["py-net"]) == []


def test_volumes(client, made):
    v = client.volumes.create("py-vol", labels={"a": "b"})
    assert v.attrs["Driver"] == "local" and v.attrs["Labels"] == {"a": "b"}
    client.containers.run("alpine", "sh -c 'echo kept > /data/file'", volumes={"py-vol": {"bind": "/data", "mode": "rw"}}, remove=True)
    assert client.containers.run("alpine", "cat /data/file", volumes={"py-vol": {"bind": "/data", "mode": "ro"}}, remove=True) == b"kept\n"
    m = docker.types.Mount("/m", "py-vol", type="volume", read_only=True)
    assert client.containers.run("alpine", "cat /m/file", mounts=[m], remove=True) == b"kept\n"
    assert "py-vol" in [x.name for x in client.volumes.list(filters={"label": "a=b"})]
    v.remove()
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get("py-vol")


def test_ports(client, made):
    c = client.containers.run("alpine", "nc -ll -p 80 -e echo served", detach=True, ports={"80/tcp": ("127.0.0.1", None), "81/udp": 8181})
    c.reload()
    bound = c.attrs["NetworkSettings"]["Ports"]
    assert bound["80/tcp"][0]["HostIp"] == "127.0.0.1" and int(bound["80/tcp"][0]["HostPort"]) > 1023
    assert {b["HostPort"] for b in bound["81/udp"]} == {"8181"} and c.ports == bound


def test_events(client, made):
    got = []
    stream = client.events(decode=True, filters={"type": "container", "label": "seen=1"})
    t = threading.Thread(target=lambda: [got.append(e) for e in stream])
    t.start()
    assert wait_until(lambda: client.info()["NEventsListener"] >= 1)
    client.containers.run("alpine", "true", labels={"seen": "1"}, remove=True)
    assert wait_until(lambda: [e["Action"] for e in got if e["Action"] in ("create", "start", "die", "destroy")] == ["create", "start", "die", "destroy"]), got
    stream.close()
    t.join(20)
    assert not t.is_alive()
    past = list(client.events(since=int(time.time()) - 60, until=int(time.time()) + 1, decode=True, filters={"event": "die"}))
    assert past and all(e["Action"] == "die" for e in past)


def test_prune(client, made):
    client.containers.run("alpine", "true", detach=True, labels={"prune": "me"}).wait()
    gone = client.containers.prune(filters={"label": "prune=me"})
    assert len(gone["ContainersDeleted"]) == 1
    client.networks.create("py-unused")
    assert "py-unused" in client.networks.prune()["NetworksDeleted"]


def test_what_is_outside(client):
    for ask in client.services.list, client.nodes.list, client.secrets.list, client.configs.list:
        with pytest.raises(docker.errors.APIError) as x:
            ask()
        assert x.value.status_code == 503 and "not a swarm manager" in x.value.explanation
    with pytest.raises(docker.errors.APIError) as x:
        client.swarm.init()
    assert x.value.status_code == 501
    with pytest.raises((docker.errors.APIError, docker.errors.BuildError)) as x:
        client.images.build(fileobj=io.BytesIO(b"FROM alpine\n"), rm=True)
    assert "docker load" in str(x.value)
    assert client.plugins.list() == []


# --- Compose v2, as it asks (API 1.44 and later) ---

def quoted(filters):
    return urllib.parse.quote(json.dumps(filters))


def label(k, v):
    return quoted({"label": [f"com.docker.compose.{k}={v}"]})


@pytest.fixture
def compose(daemon):
    def call(method, path, body=None, status=(200, 201, 204)):
        s, answer = daemon.api(method, "/v1.44" + path, body)
        assert s in status, (method, path, s, answer)
        return answer

    yield call
    daemon.clean()
    daemon.api("POST", "/networks/prune")
    for v in daemon.api("GET", "/volumes")[1]["Volumes"]:
        daemon.api("DELETE", f"/volumes/{v['Name']}?force=1")


def test_compose_v2(compose, daemon):
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.version": "2.24.0"}
    assert compose("GET", "/_ping") == b"OK" and compose("GET", "/info")["Swarm"]["LocalNodeState"] == "inactive"
    assert compose("GET", f"/containers/json?all=1&filters={label('project', 'shop')}") == []
    for n in "front", "back":
        assert compose("GET", "/networks?filters=" + quoted({"name": {f"shop_{n}": True}})) == []
        assert compose("GET", f"/networks/shop_{n}", status=(404,))["message"] == f"network shop_{n} not found"
        compose("POST", "/networks/create", {"Name": f"shop_{n}", "Driver": "bridge", "CheckDuplicate": True, "IPAM": None, "Labels": {**labels, "com.docker.compose.network": n}})
    assert compose("GET", "/networks/shop_front")["Labels"]["com.docker.compose.network"] == "front"
    compose("GET", "/volumes/shop_data", status=(404,))
    assert compose("POST", "/volumes/create", {"Name": "shop_data", "Driver": "local", "Labels": {**labels, "com.docker.compose.volume": "data"}})["Labels"]["com.docker.compose.volume"] == "data"
    image = compose("GET", "/images/alpine/json")
    body = {"Image": "alpine", "Cmd": ["sleep", "1h"], "Labels": {**labels, "com.docker.compose.service": "db", "com.docker.compose.container-number": "1", "com.docker.compose.oneoff": "False",
            "com.docker.compose.config-hash": "h", "com.docker.compose.image": image["Id"]}, "Healthcheck": {"Test": ["CMD", "true"], "Interval": 200000000, "Timeout": 2000000000, "Retries": 2},
            "HostConfig": {"NetworkMode": "shop_front", "Mounts": [{"Type": "volume", "Source": "shop_data", "Target": "/data", "VolumeOptions": {}}], "RestartPolicy": {"Name": "unless-stopped"},
                           "LogConfig": {}, "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18080"}]}, "ShmSize": 0, "AutoRemove": False},
            "ExposedPorts": {"80/tcp": {}},
            "NetworkingConfig": {"EndpointsConfig": {"shop_front": {"Aliases": ["shop-db-1", "db"]}, "shop_back": {"Aliases": ["shop-db-1", "db", "store"]}}}}
    db = compose("POST", "/containers/create?name=shop-db-1", body)
    assert db["Warnings"] in ([], None)
    compose("POST", f"/containers/{db['Id']}/start")
    assert wait_until(lambda: compose("GET", f"/containers/{db['Id']}/json")["State"]["Health"]["Status"] == "healthy"), "depends_on: service_healthy"
    web = compose("POST", "/containers/create?name=shop-web-1", {**body, "Healthcheck": None, "ExposedPorts": None, "Labels": {**body["Labels"], "com.docker.compose.service": "web"}, "HostConfig": {"NetworkMode": "shop_front"},
                  "NetworkingConfig": {"EndpointsConfig": {"shop_front": {"Aliases": ["shop-web-1", "web"]}}}})
    compose("POST", f"/containers/{web['Id']}/start")
    rows = compose("GET", f"/containers/json?all=1&filters={label('project', 'shop')}")
    assert {r["Labels"]["com.docker.compose.service"] for r in rows} == {"db", "web"} and {n for r in rows if r["Names"] == ["/shop-db-1"] for n in r["NetworkSettings"]["Networks"]} == {"shop_front", "shop_back"}
    one = compose("GET", f"/containers/{db['Id']}/json")
    assert set(one["NetworkSettings"]["Networks"]) == {"shop_front", "shop_back"} and one["NetworkSettings"]["Ports"]["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "18080"}]
    assert one["Mounts"][0]["Name"] == "shop_data" and one["Mounts"][0]["Type"] == "volume"
    i = compose("POST", f"/containers/{web['Id']}/exec", {"Cmd": ["ping", "-c1", "-W2", "db"], "AttachStdout": True, "AttachStderr": True})["Id"]
    assert b"1 packets received" in compose("POST", f"/exec/{i}/start", {"Detach": False, "Tty": False})
    # a service that changed: a new one beside it, the old one goes, the name is taken over
    new = compose("POST", "/containers/create?name=tmp_shop-web-1", {**body, "HostConfig": {"NetworkMode": "shop_front"}, "NetworkingConfig": {"EndpointsConfig": {"shop_front": {"Aliases": ["web"]}}}})
    compose("POST", f"/containers/{web['Id']}/stop?t=0")
    compose("DELETE", f"/containers/{web['Id']}?force=1")
    compose("POST", f"/containers/{new['Id']}/rename?name=shop-web-1")
    compose("POST", f"/containers/{new['Id']}/start")
    assert compose("GET", "/containers/shop-web-1/json")["Id"] == new["Id"]
    # down
    for c in compose("GET", f"/containers/json?all=1&filters={label('project', 'shop')}"):
        compose("POST", f"/containers/{c['Id']}/stop?t=0")
        compose("DELETE", f"/containers/{c['Id']}?force=1&v=1")
    for n in compose("GET", f"/networks?filters={label('project', 'shop')}"):
        compose("DELETE", f"/networks/{n['Id']}")
    compose("DELETE", "/volumes/shop_data?force=1")
    assert daemon.doctor() == []


def test_several_endpoints_need_a_newer_version(daemon):
    body = {"Image": "alpine", "Cmd": ["true"], "NetworkingConfig": {"EndpointsConfig": {"bridge": {}, "none": {}}}}
    status, answer = daemon.api("POST", "/v1.43/containers/create", body)
    assert status == 400 and "Container cannot be created with multiple network endpoints" in answer["message"]
