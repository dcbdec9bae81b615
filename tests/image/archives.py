"""Archives for the tests of pontoon-image: tars with anything in them, docker save archives, OCI layouts."""
import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def entry(name, data=None, **fields):
    """One member of a tar. data: bytes of a regular file. type, linkname, uid, gid, mode, mtime, devmajor, devminor, pax_headers."""
    info = tarfile.TarInfo(name)
    info.mtime = 1000000000
    info.mode = 0o644
    if data is not None:
        info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def directory(name, **fields):
    fields.setdefault("mode", 0o755)
    return entry(name, type=tarfile.DIRTYPE, **fields)


def symlink(name, target, **fields):
    return entry(name, type=tarfile.SYMTYPE, linkname=target, **fields)


def hardlink(name, target):
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def tar(*entries, fmt=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as t:
        for info, data in entries:
            t.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


COMPRESS = {"none": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


def config(layers, **more):
    """The configuration of an image whose plain layer tars are given."""
    c = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
         "rootfs": {"type": "layers", "diff_ids": [digest(x) for x in layers]}}
    c.update(more)
    return json.dumps(c).encode()


MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def manifest(conf, layers, kind=MANIFEST):
    """What a registry has for a configuration and layers as they are stored there: bytes, or (size, digest) of what is gone again."""
    def row(x, media):
        size, name = x if isinstance(x, tuple) else (len(x), digest(x))
        return {"mediaType": media, "size": size, "digest": name}
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": row(conf, "application/vnd.docker.container.image.v1+json"),
                       "layers": [row(x, "application/vnd.docker.image.rootfs.diff.tar.gzip") for x in layers]}).encode()


def docker_save(layers, tags=("x:1",), conf=None, manifest=None, order=None, pack=bytes):
    """As `docker save` up to version 24 writes it: <id>/layer.tar, <config>.json, manifest.json."""
    conf = conf or config(layers)
    name = hashlib.sha256(conf).hexdigest() + ".json"
    files, paths = [], []
    for i, layer in enumerate(layers):
        path = "%064x/layer.tar" % i
        files += [directory("%064x" % i), entry("%064x/VERSION" % i, b"1.0")]
        packed = pack(layer)
        first = next((p for p, x in zip(paths, layers) if x == layer), None)
        files.append(symlink(path, "../" + first) if first else entry(path, packed))
        paths.append(path)
    files.append(entry(name, conf))
    if manifest is None:
        manifest = [{"Config": name, "RepoTags": list(tags) or None, "Layers": paths}]
    files.append(entry("manifest.json", json.dumps(manifest).encode()))
    return tar(*(order(files) if order else files))


class Layout:
    """An OCI image layout."""

    def __init__(self):
        self.blobs = {}
        self.index = []

    def blob(self, data, media, **more):
        d = digest(data)
        self.blobs[d] = data
        return {"mediaType": media, "digest": d, "size": len(data), **more}

    def image(self, layers, pack=gzip.compress, conf=None, **more):
        conf = conf or config(layers)
        m = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
             "config": self.blob(conf, "application/vnd.oci.image.config.v1+json"),
             "layers": [self.blob(pack(x), "application/vnd.oci.image.layer.v1.tar+gzip") for x in layers]}
        return self.blob(json.dumps(m).encode(), m["mediaType"], **more)

    def nested(self, images, **more):
        x = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": images}
        return self.blob(json.dumps(x).encode(), x["mediaType"], **more)

    def tar(self, order=lambda files: files):
        files = [entry("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
                 entry("index.json", json.dumps({"schemaVersion": 2, "manifests": self.index}).encode()),
                 directory("blobs"), directory("blobs/sha256")]
        files += [entry("blobs/sha256/" + d[7:], data) for d, data in self.blobs.items()]
        return tar(*order(files))
