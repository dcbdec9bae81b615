"""Images: what is pruned and what stays. The label keeps the other tests' images out of it."""
import io
import json
import tarfile
import time

LABEL = "pruned=yes"


def imported(cli, name, *args):
    """A new image with a file of its own in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        f = tarfile.TarInfo(name)
        f.size = 2000
        t.addfile(f, io.BytesIO(name.encode() * 2000))
    r = cli("import", "--change", f"LABEL {LABEL}", *args, "-", stdin=out.getvalue(), ok=True)
    return r.out.decode().strip() if isinstance(r.out, bytes) else r.out.strip()


def ids(cli):
    return set(cli.out("images", "-aq", "--no-trunc").split())


def prune(cli, *args):
    return cli.out("image", "prune", "-f", "--filter", f"label={LABEL}", *args)


def test_prune(cli):
    nameless = imported(cli, "a")
    named = imported(cli, "b")
    cli.out("tag", named, "prune:1")
    cli.out("tag", named, "prune:2")
    used = imported(cli, "c")
    cli.out("tag", used, "prune:used")
    box = cli.out("create", "prune:used", "/c")
    assert {nameless, named, used} <= ids(cli)
    prune(cli, "-a", "--filter", "until=2000-01-01T00:00:00Z")
    prune(cli, "-a", "--filter", "label!=pruned")
    assert {nameless, named, used} <= ids(cli)
    told = prune(cli)
    assert nameless not in ids(cli) and nameless in told and {named, used} <= ids(cli)
    told = prune(cli, "-a")
    assert named not in ids(cli) and used in ids(cli)
    assert "untagged: prune:1" in told and "untagged: prune:2" in told and "Total reclaimed space: 2kB" in told
    cli.out("rm", box)
    assert used in prune(cli, "-a")
    assert cli("image", "prune", "-f", "--filter", "dangling=maybe").rc != 0


def test_events(any_cli, daemon, tmp_path):
    """Each verb is told once, with the name that it gave and the image's labels: those of a deleted one went with it."""
    cli, since = any_cli, time.time()
    id = imported(cli, "told", "--change", "LABEL of=told")
    cli.out("tag", id, "told:1")
    cli.out("tag", id, "told:2")
    cli.out("save", "-o", str(tmp_path / "tar"), "told:1")
    cli.out("rmi", "told:1")
    cli.out("rmi", "told:2")
    cli.out("load", "-i", str(tmp_path / "tar"))
    box = cli.out("create", "told:1", "/told")
    new = cli.out("commit", "-m", "why", box, "told:3")
    cli.out("rm", box)
    cli.out("rmi", "told:1", "told:3")
    lines = daemon.api("GET", f"/events?since={since}&until={time.time()}")[1]
    got = [json.loads(l) for l in lines.decode().splitlines()]
    told = [(e["Action"], e["Actor"]["ID"], e["Actor"]["Attributes"]["name"]) for e in got if e["Type"] == "image"]
    mine = lambda what, name=id, of=id: (what, of, name)
    assert told == [mine("import"), mine("tag", "told:1"), mine("tag", "told:2"), mine("save"), mine("untag"), mine("untag"), mine("delete"), mine("load"),
                    mine("tag", "told:3", new), mine("untag"), mine("delete"), mine("untag", new, new), mine("delete", new, new)]
    assert all(e["Actor"]["Attributes"].get("of") == (None if e["Action"] == "delete" else "told") for e in got if e["Type"] == "image")
    commit = next(e for e in got if e["Action"] == "commit")["Actor"]["Attributes"]
    assert (commit["comment"], commit["imageID"], commit["imageRef"]) == ("why", new, "told:3")
