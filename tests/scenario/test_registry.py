"""Images and registries: Debian's docker-registry on the lab's loopback, stock clients and ours."""
import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time

import pytest
from conftest import LAB, ROOT, Client, programs, wait_until

sys.path.insert(0, str(ROOT / "tests/image"))
from archives import MANIFEST, digest, directory, entry, symlink, tar  # noqa: E402
from fake_registry import Registry  # noqa: E402
from real_registry import PROGRAM, RealRegistry  # noqa: E402

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="docker-registry is not unpacked: scripts/deps test")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = RealRegistry(tmp_path_factory.mktemp("registry") / "plain")
    yield r
    r.stop()


@pytest.fixture(scope="module")
def layers():
    with open("/bin/busybox", "rb") as f:
        busybox = f.read()
    base = tar(directory("bin"), entry("bin/busybox", busybox, mode=0o755), symlink("bin/sh", "busybox"), symlink("bin/cat", "busybox"), symlink("bin/ls", "busybox"), directory("etc"),
               entry("etc/gone", b"x"))
    return [base, tar(directory("etc"), entry("etc/hello", b"hello from a layer\n"), entry("etc/.wh.gone", b""))]


def forget(daemon, *names):
    for n in names:
        daemon.api("DELETE", "/images/%s?force=1" % n)


def test_pull(cli, daemon, registry, layers):
    image = registry.name + "/lab/hello:1"
    d = registry.put_image("lab/hello", "1", layers)
    forget(daemon, image)
    out = cli.out("pull", image)
    for word in ("1: Pulling from %s/lab/hello" % registry.name, "Pull complete", "Digest: " + d, "Status: Downloaded newer image for " + image):
        assert word in out, out
    assert "Status: Image is up to date for " + image in cli.out("pull", image)
    assert cli.out("run", "--rm", image, "cat", "/etc/hello") == "hello from a layer"
    assert cli.out("run", "--rm", image, "ls", "/etc").split() == ["hello", "hostname", "hosts", "resolv.conf"]
    j = json.loads(cli.out("image", "inspect", image))[0]
    assert (j["RepoTags"], j["RepoDigests"]) == ([image], ["%s/lab/hello@%s" % (registry.name, d)])
    # absent, `run` pulls it
    out = cli.out("rmi", image)
    assert out.lower().splitlines()[:2] == ["untagged: " + image, "untagged: %s/lab/hello@%s" % (registry.name, d)] and "deleted: " in out.lower()
    r = cli("run", "--rm", image, "cat", "/etc/hello", ok=True)
    assert "Unable to find image '%s' locally" % image in r.err and r.out == "hello from a layer\n"
    # by digest it has no name
    forget(daemon, image)
    by = "%s/lab/hello@%s" % (registry.name, d)
    assert "Status: Downloaded newer image for " + by in cli.out("pull", by)
    j = json.loads(cli.out("image", "inspect", by))[0]
    assert (j["RepoTags"], j["RepoDigests"]) == ([], [by])
    assert cli.out("run", "--rm", by, "cat", "/etc/hello") == "hello from a layer"
    # a tag beside the digest says nothing
    both = "%s/lab/hello:any@%s" % (registry.name, d)
    assert cli.out("run", "--rm", both, "cat", "/etc/hello") == "hello from a layer"
    assert cli.out("image", "inspect", "-f", "{{.Id}}", both) == j["Id"]
    forget(daemon, by)
    r = cli("run", "--rm", both, "cat", "/etc/hello", ok=True)
    assert "Unable to find image '%s' locally" % both in r.err and r.out == "hello from a layer\n"
    assert cli.out("create", "--name", "both", both, "cat") and cli.out("ps", "-a", "--filter", "ancestor=" + both, "--format", "{{.Names}}") == "both"
    assert cli.out("inspect", "-f", "{{.Config.Image}}", "both") == both and cli.out("rm", "both") == "both"
    r = cli("pull", registry.name + "/lab/hello:nosuch")
    assert r.rc == 1 and "manifest for %s/lab/hello:nosuch not found: manifest unknown" % registry.name in r.err
    r = cli("run", registry.name + "/lab/nosuch", "true")
    assert r.rc == 125 and "not found" in r.err
    forget(daemon, by)


def test_pull_errors_have_their_status(daemon, registry):
    status, j = daemon.api("POST", "/images/create?fromImage=%s/lab/x&tag=1" % registry.name)
    assert status == 404 and "not found" in j["message"], j
    status, j = daemon.api("POST", "/images/create?fromImage=UPPER&tag=1")
    assert status == 400 and "must be lowercase" in j["message"], j
    status, j = daemon.api("POST", "/images/create?fromImage=localhost:1/x&tag=1")
    assert status == 500 and "Connection refused" in j["message"], j
    status, j = daemon.api("POST", "/images/create?fromImage=%s/x&tag=1" % registry.name, headers={"X-Registry-Auth": "!!"})
    assert status == 400 and "X-Registry-Auth" in j["message"], j


def jobs(daemon):
    """Processes of pontoon-image that this daemon runs."""
    return subprocess.run(["pgrep", "-P", str(daemon.proc.pid), "pontoon-image"], capture_output=True, text=True).stdout.split()


@pytest.fixture
def slow():
    """A registry whose one layer stops in the middle until it is told to go on."""
    r = Registry()
    r.go = threading.Event()
    r.big = tar(entry("big", os.urandom(1 << 20)))
    r.image("slow", "1", [r.big])
    r.reached = threading.Event()

    def hook(h):
        if digest(r.big) not in h.route:
            return False
        h.send_response(200)
        h.send_header("Content-Length", str(len(r.big)))
        h.end_headers()
        h.wfile.write(r.big[:5000])
        h.wfile.flush()
        r.reached.set()
        r.go.wait(60)
        h.wfile.write(r.big[5000:])
        return True
    r.hooks.append(hook)
    yield r
    r.go.set()
    r.close()


def pull_in_background(daemon, what, sink):
    def run():
        try:
            sink.append(daemon.api("POST", "/images/create?fromImage=%s&tag=1" % what))
        except (http.client.HTTPException, OSError) as e: # the daemon was killed
            sink.append(e)
    t = threading.Thread(target=run)
    t.start()
    return t


def test_a_client_that_goes_ends_the_pull(daemon, slow):
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(daemon.sock))
    s.send(("POST /images/create?fromImage=%s/slow&tag=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % slow.name).encode())
    assert slow.reached.wait(20)
    assert len(jobs(daemon)) == 1
    s.close()
    assert wait_until(lambda: not jobs(daemon))
    assert wait_until(lambda: os.listdir(daemon.dir / "d/image/tmp") == [])


def test_two_pulls_of_the_same(daemon, slow):
    a, b = [], []
    t1, t2 = pull_in_background(daemon, slow.name + "/slow", a), pull_in_background(daemon, slow.name + "/slow", b)
    assert slow.reached.wait(20)
    # an image can be removed while it goes on, and its layers go with the end of the pull
    status, _ = daemon.api("POST", "/images/create?fromSrc=-&repo=other&tag=1", tar(entry("x", b"1")), {"Content-Type": "application/x-tar"})
    assert status == 200 and daemon.api("DELETE", "/images/other:1")[0] == 200
    slow.go.set()
    t1.join(60)
    t2.join(60)
    texts = [x[0][1].decode() for x in (a, b)]
    assert sum("Downloaded newer image" in t for t in texts) == 1 and sum("Image is up to date" in t for t in texts) == 1, texts
    assert len(slow.gets(digest(slow.big))) == 1
    rows = [i for i in daemon.api("GET", "/images/json")[1] if slow.name + "/slow:1" in i["RepoTags"]]
    assert len(rows) == 1
    forget(daemon, slow.name + "/slow:1")
    names = {l["GraphDriver"]["Data"]["UpperDir"].split("/")[-2] for l in (daemon.api("GET", "/images/%s/json" % i["Id"])[1] for i in daemon.api("GET", "/images/json")[1])}
    assert set(os.listdir(daemon.dir / "d/image/layers")) == names


def test_kill9_leaves_no_half_image(daemon, slow):
    sink = []
    t = pull_in_background(daemon, slow.name + "/slow", sink)
    assert slow.reached.wait(20)
    before = set(os.listdir(daemon.dir / "d/image/layers"))
    daemon.kill9()
    t.join(60)
    daemon.start(*daemon.args)
    assert os.listdir(daemon.dir / "d/image/tmp") == []
    assert set(os.listdir(daemon.dir / "d/image/layers")) == before
    assert daemon.api("GET", "/images/%s/slow:1/json" % slow.name)[0] == 404
    slow.go.set()
    assert daemon.api("POST", "/images/create?fromImage=%s/slow&tag=1" % slow.name)[0] == 200
    assert daemon.api("GET", "/images/%s/slow:1/json" % slow.name)[0] == 200
    forget(daemon, slow.name + "/slow:1")


def content(tar_path):
    """What an archive of `save` holds: its names, manifest.json."""
    with tarfile.open(tar_path) as t:
        return {m.name: t.extractfile(m).read() for m in t if m.isfile()}


def test_push(cli, daemon, registry, layers):
    image, target = registry.name + "/lab/hello:1", registry.name + "/lab/copy-%s:2" % cli.name
    registry.put_image("lab/hello", "1", layers)
    cli.out("pull", image)
    cli.out("tag", image, target)
    out = cli.out("push", target)
    repo = target.rsplit(":", 1)[0]
    for word in ("The push refers to repository [%s]" % repo, "2: digest: sha256:", " size: "):
        assert word in out, out
    assert out.count("Mounted from lab/") + out.count("Layer already exists") == 2, out
    m, d = registry.manifest("lab/copy-%s" % cli.name, "2")
    assert (m["schemaVersion"], m["mediaType"], len(m["layers"])) == (2, MANIFEST, 2)
    assert "2: digest: %s size: " % d in out
    assert "%s@%s" % (repo, d) in json.loads(cli.out("image", "inspect", target))[0]["RepoDigests"]
    assert cli.out("push", target).count("Layer already exists") == 2
    # what was made here is packed for the registry, once
    box = cli.out("run", "-d", image, "sh", "-c", "echo new >/etc/new; rm /etc/hello")
    assert cli.out("wait", box) == "0"
    made = registry.name + "/lab/made-%s" % cli.name
    cli.out("commit", "-m", "a message", "-a", "somebody", "-c", "ENV A=b", box, made)
    out = cli.out("push", made)
    assert "Pushed" in out and "Using default tag: latest" in out, out
    assert cli.out("push", made).count("Layer already exists") == 3
    cli.out("rm", box)
    r = cli("push", made + ":none")
    assert r.rc == 1 and "tag does not exist: %s:none" % made in r.err
    forget(daemon, made, target, image)
    assert cli.out("run", "--rm", made, "sh", "-c", "cat /etc/new; echo $A; ls /etc/hello 2>&1 || true").split("\n")[:2] == ["new", "b"]
    forget(daemon, made)
    r = cli("push", registry.name + "/lab/nothing-here")
    assert r.rc == 1 and "An image does not exist locally with the tag: %s/lab/nothing-here" % registry.name in r.err


def test_stock_dockerd_takes_what_we_push_and_save(daemon, registry, layers, tmp_path):
    """And we what it saves and pushes: the other end of every format."""
    docker = dict(programs()).get("docker20")
    if not (ROOT / "build/tools/usr/sbin/dockerd").exists() or not docker:
        pytest.skip("dockerd is not unpacked")
    image = registry.name + "/lab/hello:1"
    registry.put_image("lab/hello", "1", layers)
    ours = Client("docker20", docker, daemon)
    where = LAB / "peer"
    # in the lab's own network: its registry is on loopback there
    peer = subprocess.Popen(["bash", str(ROOT / "tests/lab/dockerd"), str(where), "--iptables=false", "--bridge=none"], env=dict(os.environ, DOCKERD_NETNS="keep"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        theirs = Client("docker20", docker, type("Peer", (), {"env": lambda self: dict(os.environ, DOCKER_HOST="unix://%s/s" % where)})())
        assert wait_until(lambda: theirs("version").rc == 0, 60), (where / "dockerd.log").read_text()[-2000:]
        ours.out("pull", image)
        box = ours.out("run", "-d", image, "sh", "-c", "echo made >/etc/made; rm /etc/hello; mkdir -p /d/e; ln /etc/made /d/hard; ln -s x /d/link; chmod 4711 /d/hard")
        assert ours.out("wait", box) == "0"
        ours.out("commit", box, registry.name + "/lab/both:1")
        ours.out("push", registry.name + "/lab/both:1")
        ours.out("save", "-o", str(tmp_path / "ours.tar"), image, registry.name + "/lab/both:1")
        saved = theirs.out("load", "-i", str(tmp_path / "ours.tar"))
        assert "Loaded image: " + image in saved and "Loaded image: %s/lab/both:1" % registry.name in saved, saved
        for name in (image, registry.name + "/lab/both:1"):
            assert json.loads(theirs.out("image", "inspect", name))[0]["Id"] == json.loads(ours.out("image", "inspect", name))[0]["Id"]
        theirs.out("rmi", "-f", registry.name + "/lab/both:1")
        theirs.out("pull", registry.name + "/lab/both:1")
        both, id = (json.loads(c.out("image", "inspect", registry.name + "/lab/both:1"))[0] for c in (ours, theirs))
        assert (both["Id"], both["RepoDigests"], both["RootFS"]) == (id["Id"], id["RepoDigests"], id["RootFS"])
        theirs.out("tag", registry.name + "/lab/both:1", registry.name + "/lab/theirs:1")
        theirs.out("push", registry.name + "/lab/theirs:1")
        theirs.out("save", "-o", str(tmp_path / "theirs.tar"), registry.name + "/lab/theirs:1", image)
        ours.out("rm", box)
        forget(daemon, registry.name + "/lab/both:1", image)
        ours.out("pull", registry.name + "/lab/theirs:1")
        assert json.loads(ours.out("image", "inspect", registry.name + "/lab/theirs:1"))[0]["Id"] == both["Id"]
        forget(daemon, registry.name + "/lab/theirs:1")
        ours.out("load", "-i", str(tmp_path / "theirs.tar"))
        assert json.loads(ours.out("image", "inspect", registry.name + "/lab/theirs:1"))[0]["Id"] == both["Id"]
        assert ours.out("run", "--rm", registry.name + "/lab/theirs:1", "sh", "-c", "cat /etc/made /d/hard; ls /etc").split()[:2] == ["made", "made"]
        forget(daemon, registry.name + "/lab/theirs:1", image)
    finally:
        peer.terminate()
        peer.wait(60)


def test_save_and_load(cli, daemon, registry, layers, tmp_path):
    image = registry.name + "/lab/hello:1"
    d = registry.put_image("lab/hello", "1", layers)
    cli.out("pull", image)
    cli.out("tag", image, "saved:1")
    cli.out("tag", image, "saved:2")
    one, two, all_of_it = (str(tmp_path / n) for n in ("one", "two", "all"))
    cli.out("save", "-o", one, "saved:1")
    with open(two, "wb") as f:
        p = cli.spawn("save", "saved:1", stdout=f)
        assert p.wait(60) == 0
    with open(one, "rb") as a, open(two, "rb") as b:
        assert a.read() == b.read(), "two archives of the same differ"
    cli.out("save", "-o", all_of_it, "saved", image)
    files = content(all_of_it)
    row, = json.loads(files["manifest.json"])
    assert sorted(row["RepoTags"]) == sorted(["saved:1", "saved:2", image])
    assert [files[p] for p in row["Layers"]] == layers
    assert set(n for n in files if n.startswith("blobs/")) == {"blobs/sha256/" + digest(x)[7:] for n, x in files.items() if n.startswith("blobs/")}
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    id = json.loads(cli.out("image", "inspect", "saved:1"))[0]["Id"]
    forget(daemon, "saved:1", "saved:2", image)
    assert daemon.api("GET", "/images/%s/json" % id)[0] == 404
    out = cli.out("load", "-i", all_of_it)
    for name in ("saved:1", "saved:2", image):
        assert "Loaded image: " + name in out
        assert json.loads(cli.out("image", "inspect", name))[0]["Id"] == id
    assert cli.out("run", "--rm", "saved:2", "cat", "/etc/hello") == "hello from a layer"
    # what came from an archive is saved as it came
    again = str(tmp_path / "again")
    cli.out("save", "-o", again, "saved", image)
    with open(all_of_it, "rb") as a, open(again, "rb") as b:
        assert a.read() == b.read()
    # by its id it has no name
    cli.out("save", "-o", again, id)
    assert json.loads(content(again)["manifest.json"])[0]["RepoTags"] in ([], None)
    # the layout alone is enough for us
    layout = str(tmp_path / "layout")
    with tarfile.open(all_of_it) as src, tarfile.open(layout, "w") as dst:
        for m in src:
            if m.name != "manifest.json":
                dst.addfile(m, src.extractfile(m))
    forget(daemon, "saved:1", "saved:2", image)
    assert "Loaded image: saved:2" in cli.out("load", "-i", layout)
    r = cli("save", "-o", str(tmp_path / "none"), "nosuch:1")
    assert r.rc == 1 and "No such image: nosuch:1" in r.err and not (tmp_path / "none").exists()
    forget(daemon, "saved:1", "saved:2", image)


def test_commit(cli, daemon, registry, layers):
    image = registry.name + "/lab/hello:1"
    registry.put_image("lab/hello", "1", layers)
    cli.out("pull", image)
    before = json.loads(cli.out("image", "inspect", image))[0]
    box = cli.out("run", "-d", "-e", "OWN=1", "-w", "/etc", image, "sh", "-c", "echo x >/new; rm /etc/hello; mkdir /etc/sub; echo ready; while :; do sleep 1; done")
    assert wait_until(lambda: "ready" in cli.out("logs", box))
    id = cli.out("commit", "--author", "A <a@b>", "--message", "why", "--change", 'CMD ["cat","/new"]', "--change", "LABEL k=v", "--change", "EXPOSE 80", box, "committed:1")
    j = json.loads(cli.out("image", "inspect", "committed:1"))[0]
    assert (j["Id"], j["Author"], j["Comment"]) == (id, "A <a@b>", "why")
    assert j["RootFS"]["Layers"][:2] == before["RootFS"]["Layers"] and len(j["RootFS"]["Layers"]) == 3
    c = j["Config"]
    assert (c["Cmd"], c["Labels"], c["ExposedPorts"], c["WorkingDir"]) == (["cat", "/new"], {"k": "v"}, {"80/tcp": {}}, "/etc") and "OWN=1" in c["Env"]
    assert json.loads(cli.out("inspect", box))[0]["State"]["Status"] == "running"
    assert cli.out("run", "--rm", "committed:1") == "x"
    assert set(cli.out("run", "--rm", "committed:1", "ls", "/etc").split()) == {"hostname", "hosts", "resolv.conf", "sub"}
    rows = cli.out("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "committed:1").splitlines()
    assert rows[0].startswith("sh -c echo x >/new") and rows[0].endswith("|why") and rows[1:] == ["layer 1|", "layer 0|"], rows
    # paused it stays paused; stopped it can be committed too
    cli.out("pause", box)
    cli.out("commit", box, "committed:2")
    assert json.loads(cli.out("inspect", box))[0]["State"]["Status"] == "paused"
    cli.out("unpause", box)
    cli.out("kill", box)
    cli.out("commit", "--pause=false", box, "committed:3")
    assert cli.out("run", "--rm", "committed:3", "cat", "/new") == "x"
    # a container that changed nothing adds no layer
    idle = cli.out("create", image, "true")
    cli.out("commit", idle, "committed:4")
    assert json.loads(cli.out("image", "inspect", "committed:4"))[0]["RootFS"] == before["RootFS"]
    r = cli("commit", "nosuch")
    assert r.rc == 1 and "No such container: nosuch" in r.err
    r = cli("commit", "--change", "FOO bar", idle)
    assert r.rc == 1 and "unknown instruction: FOO" in r.err
    cli.out("rm", box, idle)
    forget(daemon, *("committed:%d" % i for i in range(1, 5)), image)


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    r = RealRegistry(tmp_path_factory.mktemp("registry") / "locked", user=("me", "open sesame"))
    yield r
    r.stop()


@pytest.fixture
def own_config(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config/config.json"


def test_login(cli, daemon, locked, layers, own_config):
    image = locked.name + "/lab/secret:1"
    forget(daemon, image)
    r = cli("pull", image)
    assert r.rc == 1 and "no basic auth credentials" in r.err, r
    r = cli("login", "-u", "me", "--password-stdin", locked.name, stdin="wrong\n")
    assert r.rc == 1 and "unauthorized" in r.err and not (own_config.exists() and "me" in own_config.read_text()), r
    r = cli("login", "-u", "me", "--password-stdin", locked.name, stdin="open sesame\n", ok=True)
    assert "Login Succeeded" in r.out
    entry = json.loads(own_config.read_text())["auths"][locked.name]
    assert base64.b64decode(entry["auth"]) == b"me:open sesame"
    assert own_config.stat().st_mode & 0o077 == 0
    box = daemon.api("POST", "/images/create?fromSrc=-&repo=%s/lab/secret&tag=1" % locked.name, layers[0], {"Content-Type": "application/x-tar"})
    assert box[0] == 200
    cli.out("push", image)
    forget(daemon, image)
    cli.out("pull", image)
    forget(daemon, image)
    # `run` has the credentials too, and other registries do not get them
    assert cli("run", "--rm", image, "/bin/busybox", "echo", "in", ok=True).out == "in\n"
    forget(daemon, image)
    assert "Removing login credentials for " + locked.name in cli.out("logout", locked.name)
    assert not json.loads(own_config.read_text()).get("auths")
    assert cli("pull", image).rc == 1
    for f in daemon.dir.glob("log"):
        assert "sesame" not in f.read_text(errors="replace")


def test_credential_helpers(daemon, locked, layers, own_config, tmp_path, monkeypatch):
    """credsStore and credHelpers: programs that keep secrets; here one that keeps them in a file."""
    ours = Client("pontoon", dict(programs())["pontoon"], daemon)
    helper = tmp_path / "docker-credential-test"
    helper.write_text("""#!/usr/bin/python3
import json, os, sys
path = %r
kept = json.load(open(path)) if os.path.exists(path) else {}
text = sys.stdin.read()
if sys.argv[1] == "store":
    kept[json.loads(text)["ServerURL"]] = json.loads(text)
elif sys.argv[1] == "get":
    if text not in kept:
        print("credentials not found in native keychain")
        sys.exit(1)
    print(json.dumps(kept[text]))
elif sys.argv[1] == "erase":
    kept.pop(text, None)
json.dump(kept, open(path, "w"))
""" % str(tmp_path / "kept"))
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
    for key in ({"credsStore": "test"}, {"credHelpers": {locked.name: "test"}}):
        own_config.parent.mkdir(exist_ok=True)
        own_config.write_text(json.dumps(dict(key, other="stays")))
        assert ours("pull", locked.name + "/lab/x:1").rc == 1
        ours("login", "-u", "me", "--password-stdin", locked.name, stdin="open sesame", ok=True)
        text = own_config.read_text()
        assert json.loads(text)["other"] == "stays" and "auth\"" not in text, text
        assert json.loads((tmp_path / "kept").read_text())[locked.name]["Secret"] == "open sesame"
        r = ours("pull", locked.name + "/lab/x:1")
        assert "not found" in r.err and "credentials" not in r.err, r
        ours.out("logout", locked.name)
        assert json.loads((tmp_path / "kept").read_text()) == {}
    own_config.write_text("{broken")
    r = ours("pull", locked.name + "/lab/x:1")
    assert r.rc == 1 and "is not a JSON object" in r.err and "broken" not in r.err


def test_what_a_registry_has(daemon, registry, layers):
    d = registry.put_image("lab/hello", "1", layers)
    status, j = daemon.api("GET", "/distribution/%s/lab/hello:1/json" % registry.name)
    assert (status, j["Descriptor"]["digest"], j["Descriptor"]["mediaType"], j["Platforms"]) == (200, d, MANIFEST, [{"architecture": "amd64", "os": "linux"}])
    assert daemon.api("GET", "/distribution/%s/lab/nosuch/json" % registry.name)[0] == 404
    status, j = daemon.api("GET", "/images/search?term=%s/alpine" % registry.name)
    assert status == 500 and j["message"].startswith("Unexpected status code 404: %s cannot be searched" % registry.name)
    status, j = daemon.api("POST", "/auth", {"username": "me", "password": "x", "serveraddress": "not a server"})
    assert status == 400 and "invalid registry address" in j["message"]


def test_mirrors(any_cli, daemon, registry, layers, tmp_path):
    """What Docker Hub has is asked of the mirrors first, in turn; then of it, which here is nobody."""
    conf, hosts = LAB / "daemon.json", tmp_path / "hosts"
    before = conf.read_text()
    hosts.write_text("127.0.0.1 localhost registry-1.docker.io\n")
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
    mirrors = ["http://127.0.0.1:1", "http://127.0.0.1:%d/" % registry.port]
    want = [mirrors[0] + "/", mirrors[1]]
    try:
        registry.put_image("library/mirrored", "1", layers)
        conf.write_text(json.dumps({"registry-mirrors": mirrors}))
        daemon.proc.send_signal(1)
        assert wait_until(lambda: daemon.api("GET", "/info")[1]["RegistryConfig"]["Mirrors"] == want)
        assert daemon.api("GET", "/info")[1]["RegistryConfig"]["IndexConfigs"]["docker.io"]["Mirrors"] == want
        since = time.time()
        assert "Status: Downloaded newer image for mirrored:1" in any_cli.out("pull", "mirrored:1")
        told = any_cli.out("events", "--since", str(since), "--until", str(time.time()), "--filter", "type=image", "--format", "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}")
        assert told == "pull mirrored:1 mirrored"
        j = json.loads(any_cli.out("image", "inspect", "mirrored:1"))[0]
        assert j["RepoTags"] == ["mirrored:1"] and j["RepoDigests"][0].startswith("mirrored@sha256:")
        assert daemon.api("GET", "/distribution/mirrored:1/json")[0] == 200
        # another registry's images are not theirs; and what no mirror has is the origin's to answer
        r = any_cli("pull", "127.0.0.1:1/library/mirrored:1")
        assert r.rc == 1 and "127.0.0.1:1" in r.err
        r = any_cli("pull", "mirrored:2")
        assert r.rc == 1 and "registry-1.docker.io/v2/library/mirrored/manifests/2" in r.err, r
        assert "the mirror http://127.0.0.1:1/" in daemon.log.read_text()
        conf.write_text(json.dumps({"registry-mirrors": ["nowhere"]}))
        daemon.proc.send_signal(1)
        assert wait_until(lambda: 'is not a valid URI' in daemon.log.read_text())
        assert daemon.api("GET", "/info")[1]["RegistryConfig"]["Mirrors"] == want
    finally:
        subprocess.run(["umount", "/etc/hosts"], check=True)
        conf.write_text(before)
        daemon.proc.send_signal(1)
        forget(daemon, "mirrored:1")


def test_insecure_registries_are_reloaded(daemon, registry):
    """Without TLS only where that was allowed: a name that is not loopback's."""
    conf = LAB / "daemon.json"
    before = conf.read_text()
    host = "10.99.0.1:%d" % registry.port
    relay = subprocess.Popen(["python3", "-c", "import socket,sys,threading\ns=socket.create_server(('10.99.0.1',%d))\ndef pump(a,b):\n  try:\n    while d:=a.recv(65536): b.sendall(d)\n    b.shutdown(1)\n  except OSError: pass\nwhile 1:\n  c,_=s.accept(); d=socket.create_connection(('127.0.0.1',%d))\n  [threading.Thread(target=pump,args=x,daemon=True).start() for x in ((c,d),(d,c))]" % (registry.port, registry.port)])
    try:
        def up():
            with socket.socket() as s:
                return s.connect_ex(("10.99.0.1", registry.port)) == 0
        assert wait_until(up)
        status, j = daemon.api("POST", "/images/create?fromImage=%s/lab/nosuch&tag=1" % host)
        assert status == 500 and "server gave HTTP response to HTTPS client" in j["message"], j
        conf.write_text(json.dumps({"insecure-registries": ["10.99.0.0/24"]}))
        daemon.proc.send_signal(1)
        assert wait_until(lambda: "10.99.0.0/24" in daemon.api("GET", "/info")[1]["RegistryConfig"]["InsecureRegistryCIDRs"])
        status, j = daemon.api("POST", "/images/create?fromImage=%s/lab/nosuch&tag=1" % host)
        assert status == 404 and "not found" in j["message"], j
    finally:
        relay.kill()
        relay.wait()
        conf.write_text(before)
        daemon.proc.send_signal(1)
