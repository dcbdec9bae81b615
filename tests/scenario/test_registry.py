"""Images and registries: Debian's docker-registry on the lab's loopback, stock clients and ours."""
import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import warnings

import pytest
from conftest import ROOT, wait_until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import crypt

sys.path.insert(0, str(ROOT / "tests/image"))
from archives import config, digest, directory, entry, symlink, tar  # noqa: E402
from fake_registry import Registry  # noqa: E402

PROGRAM = ROOT / "build/tools/usr/bin/docker-registry"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="docker-registry is not unpacked: scripts/deps test")
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class RealRegistry:
    """One docker-registry process on a free port of loopback."""

    def __init__(self, where, user=None, tls=None, address="127.0.0.1"):
        with socket.socket() as s:
            s.bind((address, 0))
            self.port = s.getsockname()[1]
        where.mkdir()
        self.name = "localhost:%d" % self.port
        conf = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(where / "data")}, "delete": {"enabled": True}},
                "http": {"addr": "%s:%d" % (address, self.port), "secret": "x"}, "log": {"level": "warn"}}
        if user:
            (where / "htpasswd").write_text("%s:%s\n" % (user[0], crypt.crypt(user[1], "$2b$05$" + "a" * 21 + "e")))
            conf["auth"] = {"htpasswd": {"realm": "lab", "path": str(where / "htpasswd")}}
        if tls:
            conf["http"]["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
        (where / "conf.yml").write_text(json.dumps(conf))
        self.log = open(where / "log", "wb")
        self.proc = subprocess.Popen([str(PROGRAM), "serve", str(where / "conf.yml")], stdout=self.log, stderr=self.log, env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"})

        def up():
            with socket.socket() as s:
                return s.connect_ex((address, self.port)) == 0
        assert wait_until(up), (where / "log").read_text()

    def call(self, method, path, body=None, **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        c.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        r.body = r.read()
        c.close()
        return r

    def put_blob(self, repo, data):
        at = self.call("POST", "/v2/%s/blobs/uploads/" % repo).getheader("Location")
        at = at[at.index("/v2/"):]
        assert self.call("PUT", at + "&digest=" + digest(data), data).status == 201
        return digest(data)

    def put_image(self, repo, tag, layers, conf=None):
        conf = conf or config(layers, created="2020-01-02T03:04:05Z", history=[{"created": "2020-01-02T03:04:05Z", "created_by": "layer %d" % i} for i in range(len(layers))])
        packed = [gzip.compress(x, mtime=0) for x in layers]
        m = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(conf), "digest": self.put_blob(repo, conf)},
             "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": len(x), "digest": self.put_blob(repo, x)} for x in packed]}
        r = self.call("PUT", "/v2/%s/manifests/%s" % (repo, tag), json.dumps(m), Content_Type=MANIFEST)
        assert r.status == 201
        return r.getheader("Docker-Content-Digest")

    def manifest(self, repo, ref):
        r = self.call("GET", "/v2/%s/manifests/%s" % (repo, ref), Accept=MANIFEST)
        assert r.status == 200, r.body
        return json.loads(r.body), digest(r.body)

    def stop(self):
        self.proc.terminate()
        self.proc.wait(20)
        self.log.close()


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
