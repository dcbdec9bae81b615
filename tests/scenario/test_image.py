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


def test_platforms(any_cli, daemon, tmp_path):
    """An image is for one platform: who means another one is told so, who means none is warned."""
    cli = any_cli
    host = json.loads(cli.out("image", "inspect", "alpine"))[0]["Architecture"]
    other = {"arm64": "amd64"}.get(host, "arm64")
    cli.out("tag", imported(cli, "other", "--platform", f"linux/{other}", "--change", 'CMD ["/x"]'), "other:1")
    text = f"image with reference other:1 was found but its platform (linux/{other}) does not match the specified platform (linux/{host})"
    assert daemon.api("POST", f"/containers/create?platform=linux/{host}", {"Image": "other:1"}) == (404, {"message": text})
    status, made = daemon.api("POST", "/containers/create", {"Image": "other:1"})
    assert status == 201 and made["Warnings"] == [f"The requested image's platform (linux/{other}) does not match the detected host platform (linux/{host}) and no specific platform was requested"]
    status, made = daemon.api("POST", f"/containers/create?platform=linux/{other}", {"Image": "other:1"})
    assert status == 201 and made["Warnings"] == []
    assert daemon.api("POST", "/v1.40/containers/create?platform=linux/s390x", {"Image": "other:1"})[0] == 201  # older clients mean nothing by it
    status, said = daemon.api("POST", "/containers/create?platform=linux/a/b/c/d", {"Image": "other:1"})
    assert status == 400 and "is an invalid platform" in said["message"]
    # the client tries to pull what is not there
    r = cli("create", "--platform", f"linux/{host}", "other:1")
    assert r.rc == 1 and "Unable to find image 'other:1' locally" in r.err
    cli.out("create", "--platform", f"linux/{other}", "other:1")
    for path in ("other:1/json", "other:1/history", "other:1/get"):
        q = lambda arch: daemon.api("GET", f'/images/{path}?platform=%7B"os":"linux","architecture":"{arch}"%7D')
        assert q(host) == (404, {"message": text}) and q(other)[0] == 200
    assert daemon.api("GET", "/images/other:1/json?platform=%7B%7D") == (400, {"message": "both OS and Architecture must be provided"})
    daemon.clean()
    assert daemon.api("GET", "/v1.47/images/other:1/json?platform=x")[0] == 200
    (tmp_path / "tar").write_bytes(daemon.api("GET", "/images/other:1/get")[1])
    assert daemon.api("DELETE", f'/images/other:1?platforms=%7B"os":"linux","architecture":"{host}"%7D')[0] == 404
    cli.out("rmi", "other:1")
    load = lambda arch: daemon.api("POST", f'/images/load?platform=%7B"os":"linux","architecture":"{arch}"%7D', (tmp_path / "tar").read_bytes(), {"Content-Type": "application/x-tar"})
    assert load(host) == (404, {"message": text})
    assert load(other)[0] == 200
    cli.out("rmi", "other:1")


def test_used_images(cli, daemon):
    """A name goes by force, the image stays for whom uses it; what runs keeps its image from going by id."""
    with_shell = cli.out("commit", cli.out("create", "alpine", "true"), "used:1")
    for runs in True, False:
        box = cli.out("run", "-d", "used:1", "sleep", "1h")
        if not runs:
            cli.out("kill", box)
        r = cli("rmi", "used:1")
        assert r.rc == 1 and f'conflict: unable to remove repository reference "used:1" (must force) - container {box[:12]} is using its referenced image {with_shell[7:19]}' in r.err
        r = cli("rmi", with_shell)
        how = "cannot be forced) - image is being used by running" if runs else "must be forced) - image is being used by stopped"
        assert r.rc == 1 and f"conflict: unable to delete {with_shell[7:19]} ({how} container {box[:12]}" in r.err
        if runs:
            assert "cannot be forced" in cli("rmi", "-f", with_shell, ok=False).err
        assert cli.out("rmi", "-f", "used:1").lower() == "untagged: used:1"
        assert json.loads(cli.out("image", "inspect", with_shell))[0]["RepoTags"] == []
        cli.out("tag", with_shell, "used:1")
        cli.out("rm", "-f", box)
    daemon.clean()
    assert "deleted: " + with_shell in cli.out("rmi", "used:1").lower()
