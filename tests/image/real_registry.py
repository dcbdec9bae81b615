"""Debian's docker-registry as scripts/deps unpacks it, for tests and benches."""
import gzip
import http.client
import json
import pathlib
import socket
import subprocess
import time
import warnings

from archives import MANIFEST, config, digest, manifest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import crypt

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "build/tools/usr/bin/docker-registry"


class RealRegistry:
    """One docker-registry process, on a free port of loopback; `where` is its directory, which must not exist."""

    def __init__(self, where, user=None, tls=None, address="127.0.0.1", port=0):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, port))
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

        for _ in range(1000):
            with socket.socket() as s:
                if s.connect_ex((address, self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError("docker-registry does not answer: " + (where / "log").read_text())

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

    def put_manifest(self, repo, tag, data):
        r = self.call("PUT", "/v2/%s/manifests/%s" % (repo, tag), data, Content_Type=MANIFEST)
        assert r.status == 201, r.body
        return r.getheader("Docker-Content-Digest")

    def put_image(self, repo, tag, layers, conf=None):
        """layers: plain tars."""
        conf = conf or config(layers, created="2020-01-02T03:04:05Z", history=[{"created": "2020-01-02T03:04:05Z", "created_by": "layer %d" % i} for i in range(len(layers))])
        packed = [gzip.compress(x, mtime=0) for x in layers]
        for x in [conf, *packed]:
            self.put_blob(repo, x)
        return self.put_manifest(repo, tag, manifest(conf, packed))

    def manifest(self, repo, ref):
        r = self.call("GET", "/v2/%s/manifests/%s" % (repo, ref), Accept=MANIFEST)
        assert r.status == 200, r.body
        return json.loads(r.body), digest(r.body)

    def stop(self):
        self.proc.terminate()
        self.proc.wait(20)
        self.log.close()
