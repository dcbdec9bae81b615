#!/usr/bin/env python3
"""Writes the first inputs of the image fuzz targets: make_corpus.py tests/fuzz/corpus. Later finds are added by hand."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from archives import *  # noqa: E402,F403

ROOT = sys.argv[1]


def put(target, name, data):
    os.makedirs(os.path.join(ROOT, target), exist_ok=True)
    with open(os.path.join(ROOT, target, name), "wb") as f:
        f.write(data)


def short(data):
    """Without the padding that Python puts at the end of a tar."""
    n = len(data.rstrip(b"\0"))
    return data[:(n + 511) // 512 * 512 + 1024]


LAYERS = {
    "plain": tar(directory("./"), directory("d", mode=0o1777), entry("d/f", b"hello", mode=0o4755, uid=7), symlink("l", "d"), hardlink("h", "d/f")),
    "nodes": tar(entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), entry("p", type=tarfile.FIFOTYPE)),
    "whiteouts": tar(entry(".wh.a", b""), directory("a"), entry("b/.wh..wh..opq", b""), entry("b/.wh.c", b""), entry(".wh..wh.plnk", b"")),
    "pax": tar(entry("é" * 60, b"x", pax_headers={"mtime": "1.5", "SCHILY.xattr.user.a": "b", "SCHILY.xattr.trusted.overlay.opaque": "y"})),
    "gnu_long": tar(entry("x" * 200, b"1"), symlink("s", "y" * 200), fmt=tarfile.GNU_FORMAT),
    "ustar": tar(entry("a/b", b"1"), fmt=tarfile.USTAR_FORMAT),
    "replace": tar(entry("a", b""), directory("a"), entry("a/b", b"1"), entry("a", b"2"), symlink("a", "b"), directory("a")),
    "up": tar(entry("../x", b"evil")),
    "through": tar(symlink("l", "/etc"), entry("l/passwd", b"evil")),
    "hard_out": tar(hardlink("h", "/etc/passwd")),
    "big": tar(entry("big", None, size=1 << 33)),
}
for name, data in LAYERS.items():
    put("image_layer", name, short(data))
for name, pack in COMPRESS.items():
    if name != "none":
        put("image_layer", name, pack(LAYERS["plain"]))
put("image_layer", "cut", LAYERS["plain"][:1300])
put("image_layer", "empty", b"")

# The first byte: the place, +8 kinds are kept, +16 one owner for everything (fuzz_image_put.c).
PUTS = {
    "root": (0, LAYERS["plain"]),
    "owned": (1 + 16, LAYERS["plain"]),
    "kinds": (8, tar(directory("file"), entry("d", b"no directory"))),
    "links_up": (0, tar(entry("up/evil", b"1"), entry("top/evil", b"2"), entry("far/evil", b"3"), entry("d/parent/evil", b"4"))),
    "own_link": (1, tar(symlink("l", "../.."), entry("l/evil", b"1"), hardlink("h", "../../up"), entry("h", b"2"))),
    "through": (2, LAYERS["through"]),
    "far": (4, LAYERS["up"]),
    "parent": (5, LAYERS["hard_out"]),
    "loop": (6, LAYERS["plain"]),
    "no_directory": (7, LAYERS["plain"]),
    "nodes": (3, LAYERS["nodes"]),
    "whiteouts": (1, LAYERS["whiteouts"]),
}
for name, (first, data) in PUTS.items():
    put("image_put", name, bytes([first]) + short(data))
put("image_put", "cut", bytes([1]) + LAYERS["plain"][:1300])
put("image_put", "gzip", bytes([1]) + COMPRESS["gzip"](LAYERS["plain"]))

L1, L2 = short(LAYERS["plain"]), short(LAYERS["whiteouts"])
put("image_load", "save", short(docker_save([L1, L2, L1])))
put("image_load", "save_gz", gzip.compress(docker_save([L1], pack=gzip.compress)))
lay = Layout()
lay.index = [lay.nested([lay.image([L1], platform={"os": "linux", "architecture": "amd64"})],
                        annotations={"io.containerd.image.name": "docker.io/library/bb:1"})]
put("image_load", "layout", short(lay.tar()))
put("image_load", "bad_diff_id", short(docker_save([L1], conf=config([L2]))))
put("image_load", "loop", short(tar(symlink("manifest.json", "index.json"), symlink("index.json", "manifest.json"))))
put("image_load", "nothing", short(tar(entry("f", b""))))

D = "sha256:" + "1" * 64
desc = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": D, "size": 3,
        "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
        "annotations": {"org.opencontainers.image.ref.name": "a:1", "vnd.docker.reference.type": "attestation-manifest"}}
image = {"schemaVersion": 2, "config": dict(desc, mediaType="application/vnd.oci.image.config.v1+json"), "layers": [desc]}
JSONS = [(0, "saved", [{"Config": "c.json", "RepoTags": ["a:1", "docker.io/library/b"], "Layers": ["x/layer.tar"]}]),
         (1, "index", {"schemaVersion": 2, "manifests": [desc, desc]}), (2, "manifest", image),
         (3, "config", json.loads(config([L1, L2]))), (3, "config_os", {"os": "windows"}), (1, "null", None), (0, "number", [1])]
for kind, name, value in JSONS:
    put("image_json", name, bytes([kind]) + json.dumps(value).encode())
put("image_json", "platform", b"\x04linux/arm64/v8")
for i, name in enumerate((b"./a//b/../c", b"a/.wh.b", b".wh..wh..opq", b"../../x", b"/abs/./path", b"a/.wh...", b"\xff\n\"", b"a/" * 300)):
    put("image_json", "name%d" % i, b"\x05" + name)

CHANGES = ["CMD [\"a\", \"b\"]", "CMD sh -c 'x'", "ENV A=1 B=\"x $A\" C=${D:-${A}} D=${A:+z}\nENV E old form", "EXPOSE 80 90-99/udp", "LABEL a=b 'c d'=e",
           "WORKDIR /a/../b\nWORKDIR c", "VOLUME [\"/a\"]\nVOLUME /b /c", "USER x:y", "STOPSIGNAL RTMIN+3", "ONBUILD RUN x",
           "HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=3 CMD [\"x\"]", "HEALTHCHECK NONE", "# c\nCMD a \\\n b", "RUN x", "ENV A=\"b"]
for i, c in enumerate(CHANGES):
    put("image_change", "c%02d" % i, c.encode())
