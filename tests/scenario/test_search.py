"""search: Docker's GET /v1/search at a registry of our own, through the daemon, with stock clients and ours."""
import base64
import json
import subprocess
import sys
import urllib.parse

import pytest
from conftest import BUILD, ROOT, Client

sys.path.insert(0, str(ROOT / "tests/image"))
from fake_registry import Registry  # noqa: E402

FOUND = [
    {"name": "evil\x1b[2J", "description": "x", "star_count": 99},
    {"name": "library/best", "description": "first line\nand more of it, " + 40 * "ä", "star_count": 77, "is_official": True, "is_automated": False},
    {"name": "few", "description": "has few stars", "star_count": 2, "is_official": False, "is_automated": True},
    {"name": "team/none", "description": None, "star_count": 0, "is_official": False},
]


@pytest.fixture
def hub():
    r = Registry()
    r.answer = lambda h: h.answer(200, json.dumps({"num_results": len(FOUND), "query": h.query["q"], "results": FOUND}).encode(), Content_Type="application/json")
    r.hooks.append(lambda h: h.route == "/v1/search" and r.answer(h))
    yield r
    r.close()


def asked(hub):
    return [(p, h) for _, p, h in hub.asked if p.startswith("/v1/search")]


def test_search(cli, hub):
    out = cli.out("search", hub.name + "/web server&x")
    lines = out.splitlines()
    assert [l.split()[0] for l in lines] == ["NAME", "library/best", "few", "team/none"] and lines[0].split()[:4] == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert "first line and more of it, ää" in lines[1] and "…" in lines[1] and "[OK]" in lines[1] and "77" in lines[1] and "[OK]" not in lines[3]
    path, headers = asked(hub)[0]
    assert dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query)) == {"q": "web server&x", "n": "25"} and "Authorization" not in headers
    assert 40 * "ä" in cli.out("search", "--no-trunc", hub.name + "/x")
    assert cli.out("search", "--limit", "2", "--format", "{{.Name}}:{{.StarCount}}:{{.IsOfficial}}", hub.name + "/x").split() == ["library/best:77:[OK]", "few:2:"]
    assert "n=2" in asked(hub)[-1][0]
    row = json.loads(cli.out("search", "--filter", "stars=10", "--format", "{{json .}}", hub.name + "/x"))
    assert (row["Name"], row["StarCount"], row["IsOfficial"]) == ("library/best", "77", "true")
    for f, want in ("is-official=false", ["few", "team/none"]), ("stars=2", ["library/best", "few"]), ("is-automated=true", ["few"]), ("is-official=true", ["library/best"]):
        assert cli.out("search", "--filter", f, "--format", "{{.Name}}", hub.name + "/x").split() == want, f
    for args, text in [(("--limit", "101"), "limit 101 is outside the range of [1, 100]"), (("--filter", "nope=1"), "invalid filter 'nope'"),
                       (("--filter", "stars=x"), "invalid filter 'stars=x'"), (("--filter", "is-official=x"), "invalid filter 'is-official=[x]'")]:
        r = cli("search", *args, hub.name + "/x", ok=False)
        assert text in r.err, r
    assert len(cli("search", "http://" + hub.name + "/x", ok=False).err) > 5


def test_what_a_registry_does_wrong(daemon, hub):
    def search(term="x", **query):
        return daemon.api("GET", "/images/search?" + urllib.parse.urlencode(dict(query, term=hub.name + "/" + term)))

    good = search()
    assert good == (200, [{"star_count": 77, "is_official": True, "name": "library/best", "is_automated": False, "description": FOUND[1]["description"].replace("\n", " ")},
                          {"star_count": 2, "is_official": False, "name": "few", "is_automated": True, "description": "has few stars"},
                          {"star_count": 0, "is_official": False, "name": "team/none", "is_automated": False, "description": ""}])
    assert search(limit=-1) == (400, {"message": "limit -1 is outside the range of [1, 100]"})
    assert search(limit=0) == good and len(search(limit=2)[1]) == 2
    assert search(term="")[0] == 400 and daemon.api("GET", "/images/search")[0] == 400 and search(limit="x")[0] == 400 and search(filters="{")[0] == 400
    assert daemon.api("GET", "/images/search?term=http%3A%2F%2Fx%2Fy") == (400, {"message": "invalid repository name: repository name (http://x/y) should not have a scheme"})
    for body, text in (b"<html>", "invalid JSON"), (b"{}", "no results"), (b'{"results":[' + b'{"name":"x"},' * 100000 + b"{}]}", "more than"):
        hub.answer = lambda h, body=body: h.answer(200, body)
        status, j = search()
        assert status >= 400 and text in j["message"] and "search" in j["message"], (status, j)
    for status in 404, 503:
        hub.answer = lambda h, status=status: h.answer(status)
        assert search() == (500, {"message": f"Unexpected status code {status}: {hub.name} cannot be searched, as most registries"})
    name = hub.name
    hub.close()
    status, j = daemon.api("GET", f"/images/search?term={name}/x")
    assert status == 500 and "/v1/search" in j["message"] and "refused" in j["message"].lower(), j


def test_who_asks_is_told_when_the_registry_wants_it(daemon, hub, tmp_path, monkeypatch):
    config = tmp_path
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    ours = Client("pontoon", BUILD / "pontoon", daemon)
    pair = base64.b64encode(b"me:open sesame").decode()
    plain = hub.answer
    hub.answer = lambda h: plain(h) if h.headers.get("Authorization") == "Basic " + pair else h.answer(401, WWW_Authenticate='Basic realm="x"')
    (config / "config.json").write_text("{}")
    r = ours("search", hub.name + "/x", ok=False)
    assert "no basic auth credentials" in r.err, r
    (config / "config.json").write_text(json.dumps({"auths": {hub.name: {"auth": pair}, "https://index.docker.io/v1/": {"auth": "bm86bm8="}}}))
    assert ours.out("search", "--format", "{{.Name}}", hub.name + "/x").split()[0] == "library/best"
    assert {h.get("Authorization") for _, h in asked(hub)} == {None, "Basic " + pair}


def test_a_word_alone_is_for_docker_hub(any_cli, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost index.docker.io\n")
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
    try:
        for term in "x", "team/x", "docker.io/x", "index.docker.io/library/x":
            r = any_cli("search", term, ok=False)
            assert 'search index.docker.io: GET "https://index.docker.io/v1/search"' in r.err, r
    finally:
        subprocess.run(["umount", "/etc/hosts"], check=True)
