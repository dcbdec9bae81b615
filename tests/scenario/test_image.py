"""Images: what is pruned and what stays. The label keeps the other tests' images out of it."""
import io
import tarfile

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
