"""A registry for tests, with whatever faults a test asks for. Keeps what it has and what it was asked in memory."""
import base64
import http.server
import json
import re
import ssl
import threading
import urllib.parse

from archives import MANIFEST, config, digest, manifest

INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    def __init__(self, address="127.0.0.1", tls=None):
        self.blobs, self.manifests, self.uploads = {}, {}, {}
        self.asked = []     # (method, path, headers)
        self.hooks = []     # each: f(handler) -> True when it has answered
        self.mount, self.begun = True, 0
        self.lock = threading.Lock()
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def serve(self):
                url = urllib.parse.urlsplit(self.path)
                self.route, self.query = url.path, dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
                with registry.lock:
                    registry.asked.append((self.command, self.path, dict(self.headers)))
                self.body = None
                for h in registry.hooks:
                    if h(self):
                        return
                registry.serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = serve

            def read_body(self):
                if self.body is None:
                    if self.headers.get("Transfer-Encoding") == "chunked":
                        self.body = b""
                        while n := int(self.rfile.readline().split(b";")[0], 16):
                            self.body += self.rfile.read(n)
                            self.rfile.readline()
                        self.rfile.readline()
                    else:
                        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                return self.body

            def answer(self, status, body=b"", **headers):
                self.send_response(status)
                headers.setdefault("Content-Length", str(len(body)))
                for k, v in headers.items():
                    for x in v if isinstance(v, list) else [v]:
                        self.send_header(k.replace("_", "-"), x)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                return True

            def refuse(self, status, code, message="said so", **headers):
                return self.answer(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), Content_Type="application/json", **headers)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass
        self.server = Server((address, 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls[:2])
            if len(tls) > 2:  # whose certificates a client must show
                context.load_verify_locations(tls[2])
                context.verify_mode = ssl.CERT_REQUIRED
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.name = "%s:%d" % self.server.server_address
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # --- what it has ---

    def blob(self, data):
        self.blobs[digest(data)] = data
        return digest(data)

    def manifest(self, repo, ref, data, kind=MANIFEST):
        d = digest(data)
        self.manifests[repo, d] = self.manifests[repo, ref] = (kind, data)
        return d

    def image(self, repo, tag, layers, packed=None, kind=MANIFEST, conf=None, **more):
        """layers: plain tars; packed: what is stored for them. Returns the manifest's digest."""
        conf = conf or config(layers, **more)
        self.blob(conf)
        stored = packed or layers
        for x in stored:
            self.blob(x)
        return self.manifest(repo, tag, manifest(conf, stored, kind), kind)

    def index(self, repo, tag, entries):
        """entries: (digest, os, architecture, variant)"""
        m = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": MANIFEST, "size": 1, "digest": d, "platform": dict(os=o, architecture=a, **({"variant": v} if v else {}))} for d, o, a, v in entries]}
        return self.manifest(repo, tag, json.dumps(m).encode(), INDEX)

    def gets(self, part):
        return [p for m, p, _ in self.asked if m == "GET" and part in p]

    # --- how it answers ---

    def serve(self, h):
        m = re.match(r"/v2/(.+)/(manifests|blobs|tags)/(.*)", h.route)
        if h.route == "/v2/":
            return h.answer(200, b"{}")
        if not m:
            return h.refuse(404, "NAME_UNKNOWN")
        repo, kind, what = m.groups()
        if kind == "blobs" and what.startswith("uploads"):
            return self.upload(h, repo, what)
        if kind == "manifests" and h.command == "PUT":
            d = self.manifest(repo, what, h.read_body(), h.headers["Content-Type"])
            return h.answer(201, Docker_Content_Digest=d, Location="/v2/%s/manifests/%s" % (repo, d))
        if kind == "manifests":
            if not any(r == repo for r, _ in self.manifests):
                return h.refuse(404, "NAME_UNKNOWN", "repository name not known to registry")
            if (repo, what) not in self.manifests:
                return h.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
            t, data = self.manifests[repo, what]
            return h.answer(200, data, Content_Type=t, Docker_Content_Digest=digest(data))
        if kind == "tags":
            tags = sorted({t for r, t in self.manifests if r == repo and ":" not in t})
            last, n = h.query.get("last", ""), int(h.query.get("n", 2))
            page = [t for t in tags if t > last][:n]
            more = {"Link": '</v2/%s/tags/list?n=%d&last=%s>; rel="next"' % (repo, n, page[-1])} if page and page[-1] != tags[-1] else {}
            return h.answer(200, json.dumps({"name": repo, "tags": page}).encode(), Content_Type="application/json", **more)
        if what not in self.blobs:
            return h.refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
        return self.send_blob(h, self.blobs[what])

    def send_blob(self, h, data, ranges=True):
        r = re.match(r"bytes=(\d+)-", h.headers.get("Range", "")) if ranges else None
        if r:
            at = int(r[1])
            return h.answer(206, data[at:], Content_Range="bytes %d-%d/%d" % (at, len(data) - 1, len(data)))
        return h.answer(200, data, Content_Type="application/octet-stream")

    def upload(self, h, repo, what):
        if h.command == "POST":
            if self.mount and h.query.get("mount") in self.blobs:
                return h.answer(201, Location="/v2/%s/blobs/%s" % (repo, h.query["mount"]), Docker_Content_Digest=h.query["mount"])
            with self.lock:
                self.begun += 1
                uid = str(self.begun)
                self.uploads[uid] = b""
            return h.answer(202, Location="http://%s/v2/%s/blobs/uploads/%s?state=s%s" % (self.name, repo, uid, uid), Range="0-0")
        uid = what.split("/")[1]
        if uid not in self.uploads or h.query.get("state") != "s" + uid:
            return h.refuse(404, "BLOB_UPLOAD_UNKNOWN")
        if h.command == "GET":
            return h.answer(204, Location=h.path, Range="0-%d" % max(0, len(self.uploads[uid]) - 1))
        data = h.read_body()
        if h.command == "PATCH":
            at = int(h.headers.get("Content-Range", "0-").split("-")[0])
            if at != len(self.uploads[uid]):
                return h.refuse(416, "RANGE_INVALID", Range="0-%d" % max(0, len(self.uploads[uid]) - 1), Location=h.path)
            self.uploads[uid] += data
            return h.answer(202, Location=h.path, Range="0-%d" % (len(self.uploads[uid]) - 1))
        data = self.uploads.pop(uid) + data
        if digest(data) != h.query.get("digest"):
            return h.refuse(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.blob(data)
        return h.answer(201, Location="/v2/%s/blobs/%s" % (repo, digest(data)), Docker_Content_Digest=digest(data))


def basic(user, password):
    return "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()


def wants_basic(user="me", password="secret"):
    def hook(h):
        if h.headers.get("Authorization") == basic(user, password):
            return False
        h.read_body()
        return h.refuse(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate='Basic realm="x"')
    return hook


class Tokens:
    """A bearer registry whose token server is the registry itself."""

    def __init__(self, registry, user="me", password="secret", refresh="refresh-me"):
        self.registry, self.user, self.password, self.refresh = registry, user, password, refresh
        self.given, self.requests = set(), []
        registry.hooks.append(self.hook)

    def hook(self, h):
        if h.route == "/token":
            return self.token(h)
        if h.headers.get("Authorization", "")[7:] in self.given:
            return False
        h.read_body()
        return h.refuse(401, "UNAUTHORIZED", "authentication required",
                        WWW_Authenticate='Bearer realm="http://%s/token",service="svc",scope="repository:r:pull"' % self.registry.name)

    def token(self, h):
        form = dict(urllib.parse.parse_qsl(h.read_body().decode()))
        self.requests.append((h.command, h.path, form, h.headers.get("Authorization")))
        ok = form.get("refresh_token") == self.refresh if h.command == "POST" else h.headers.get("Authorization") in (None, basic(self.user, self.password))
        if not ok:
            return h.answer(401, json.dumps({"details": "incorrect username or password"}).encode())
        t = "token%d" % len(self.given)
        if h.command == "POST" or h.headers.get("Authorization"):
            self.given.add(t)
        return h.answer(200, json.dumps({"token": t, "expires_in": 60}).encode(), Content_Type="application/json")
