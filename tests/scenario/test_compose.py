"""A compose project, with Debian's docker-compose."""
import os
import shutil
import subprocess

import pytest

PROJECT = """
version: "2.4"
services:
  mongo-db:
    image: alpine
    command: sleep 1h
  downloader:
    image: alpine
    command: sh -c "while :; do echo tick; sleep 1; done"
    depends_on: [mongo-db]
    networks:
      default:
        aliases: [ytdl]
networks:
  default:
    driver_opts:
      com.docker.network.driver.mtu: "1400"
"""


@pytest.fixture
def compose(daemon, tmp_path):
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed")
    (tmp_path / "docker-compose.yml").write_text(PROJECT)

    def run(*args, ok=True):
        p = subprocess.run(["docker-compose", "--no-ansi", "-p", "youtube-dl", *args], cwd=tmp_path, env=daemon.env(), capture_output=True, text=True, timeout=120)
        assert (p.returncode == 0) == ok, p.stdout + p.stderr
        return p.stdout + p.stderr

    yield run
    run("down", "-t", "0")
    daemon.clean()


def test_project(compose, daemon):
    text = compose("up", "-d")
    assert 'Creating network "youtube-dl_default"' in text
    network = daemon.api("GET", "/networks/youtube-dl_default")[1]
    assert network["Labels"]["com.docker.compose.project"] == "youtube-dl" and len(network["Containers"]) == 2
    assert "Up" in compose("ps")
    assert "1 packets received" in compose("exec", "-T", "downloader", "ping", "-c1", "-W1", "mongo-db")
    assert "1 packets received" in compose("exec", "-T", "mongo-db", "ping", "-c1", "-W1", "ytdl")
    assert "tick" in compose("logs", "downloader")
    assert "up-to-date" in compose("up", "-d")
    compose("restart", "-t", "0", "mongo-db")
    assert "1 packets received" in compose("exec", "-T", "downloader", "ping", "-c1", "-W1", "mongo-db")
    compose("down", "-t", "0")
    assert daemon.api("GET", "/networks/youtube-dl_default")[0] == 404
    assert daemon.api("GET", "/containers/json?all=1")[1] == [] and daemon.doctor() == []
