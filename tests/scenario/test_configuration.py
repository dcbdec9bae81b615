"""A configuration file of dockerd's, moved over: what counts here, what is passed over with a word, what is refused and why."""
import hashlib
import json
import pathlib

import pytest
from conftest import Daemon

pytestmark = pytest.mark.usefixtures("own_network")


def tree(root):
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}


@pytest.mark.parametrize("mark", ["volumes/metadata.db", "network/files/local-kv.db"])
def test_the_data_root_of_dockerd_is_left_alone(mark):
    """Its containers would be taken for leftovers of ours: Pontoon wants a directory of its own, and changes nothing in this one."""
    d = Daemon("dockerds-" + mark[0])
    root = d.dir / "d"
    for path in (mark, f"containers/{hashlib.sha256(mark.encode()).hexdigest()}/config.v2.json", "volumes/data/_data/precious"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("precious")
    before = tree(root)
    try:
        d.start("--bridge", "none", ok=False)
        assert f"data-root: {root} is dockerd's (it holds {mark})" in d.log.read_text()
        assert tree(root) == before
    finally:
        d.stop()
