"""One scene over the API, played to pontoond and to dockerd 20.10: what they answer is compared in test_api_golden.py."""
import http.client
import json
import re
import socket
import time

A = {"Image": "golden:1", "Cmd": ["sleep", "1h"]}
B = {
    "Image": "golden:1", "Hostname": "bee", "User": "1000:1000", "Env": ["A=b"], "Entrypoint": ["/bin/echo"], "Cmd": ["x y"], "WorkingDir": "/tmp", "Labels": {"l": "v"}, "ExposedPorts": {"80/tcp": {}},
    "StopSignal": "SIGINT", "StopTimeout": 3, "Tty": True, "OpenStdin": True,
    "HostConfig": {
        "Binds": ["/srv:/data:ro"], "Mounts": [{"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 65536}}], "Memory": 67108864, "NanoCpus": 500000000, "PidsLimit": 50,
        "CapAdd": ["NET_ADMIN"], "CapDrop": ["MKNOD"], "Dns": ["192.0.2.53"], "DnsSearch": ["example.com"], "ExtraHosts": ["h:192.0.2.1"], "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
        "Sysctls": {"net.core.somaxconn": "100"}, "Tmpfs": {"/run": "size=1m"}, "SecurityOpt": ["no-new-privileges"], "ReadonlyRootfs": True, "Init": True,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}, "GroupAdd": ["50"], "ShmSize": 1048576, "OomScoreAdj": 100,
    },
}
C = {"Image": "golden:1", "Cmd": ["sh", "-c", "exit 3"], "HostConfig": {"NetworkMode": "none"}}

# Requests that fail: method, path, body. The answers are compared whole.
ERRORS = [
    ("GET", "/containers/none-such/json", None), ("POST", "/containers/none-such/start", None), ("DELETE", "/containers/none-such", None), ("POST", "/containers/none-such/stop", None),
    ("POST", "/containers/none-such/kill", None), ("GET", "/containers/none-such/logs?stdout=1", None), ("POST", "/containers/none-such/exec", {"Cmd": ["x"]}), ("GET", "/exec/none-such/json", None),
    ("POST", "/containers/none-such/attach?stream=1&stdout=1", None), ("POST", "/containers/none-such/wait", None), ("POST", "/containers/none-such/rename?name=x1", None), ("GET", "/containers/none-such/top", None),
    ("POST", "/containers/none-such/pause", None), ("POST", "/containers/none-such/resize?h=1&w=1", None),
    ("DELETE", "/containers/golden-a", None), ("POST", "/containers/golden-a/start", None), ("POST", "/containers/golden-c/kill", None), ("POST", "/containers/golden-c/stop", None), ("POST", "/containers/golden-c/pause", None),
    ("POST", "/containers/golden-a/unpause", None), ("GET", "/containers/golden-c/top", None), ("POST", "/containers/golden-c/exec", {"Cmd": ["x"]}), ("POST", "/containers/golden-a/exec", {}),
    ("POST", "/containers/golden-a/kill?signal=NOSUCH", None), ("POST", "/containers/golden-a/rename?name=golden-c", None), ("POST", "/containers/golden-a/rename?name=", None), ("POST", "/containers/golden-a/rename?name=%2F..%2F", None),
    ("POST", "/containers/golden-c/attach?stream=1&stdout=1&detachKeys=bad-keys", None), ("GET", "/containers/golden-a/logs", None), ("POST", "/containers/golden-a/resize?h=x&w=1", None),
    ("POST", "/containers/create?name=golden-a", A), ("POST", "/containers/create?name=-x", A), ("POST", "/containers/create?name=x", A), ("POST", "/containers/create", {"Image": "none-such:9"}), ("POST", "/containers/create", {"Image": ""}),
    ("POST", "/containers/create", {"Image": "UPPER"}), ("POST", "/containers/create", {"Image": "golden:1", "Cmd": []}),
    ("POST", "/containers/create", {**A, "HostConfig": {"NetworkMode": "none-such"}}), ("POST", "/containers/create", {**A, "HostConfig": {"Memory": 1}}), ("POST", "/containers/create", {**A, "HostConfig": {"Binds": ["a:b:c:d"]}}),
    ("POST", "/containers/create", {**A, "HostConfig": {"Binds": ["/srv:relative"]}}), ("POST", "/containers/create", {**A, "WorkingDir": "rel"}),
    ("POST", "/containers/create", {**A, "HostConfig": {"RestartPolicy": {"Name": "sometimes"}}}), ("POST", "/containers/create", {**A, "HostConfig": {"NetworkMode": "host", "UTSMode": "host"}, "Hostname": "x"}),
    ("POST", "/containers/create", {**A, "HostConfig": {"Runtime": "none-such"}}), ("POST", "/containers/create", {**A, "HostConfig": {"CapAdd": ["NO_SUCH"]}}), ("POST", "/containers/create", {**A, "HostConfig": {"PidMode": "bad"}}),
    ("POST", "/containers/create", {**A, "HostConfig": {"IpcMode": "bad"}}), ("POST", "/containers/create", {**A, "HostConfig": {"NetworkMode": "container:none-such"}}), ("POST", "/containers/create", "{"), ("POST", "/containers/create", "null"),
    ("POST", "/containers/create", '{"Image":1}'), ("POST", "/containers/create", ""), ("GET", "/containers/json?filters=x", None), ("GET", '/containers/json?filters={"none-such":["x"]}', None), ("GET", '/containers/json?filters={"status":["x"]}', None),
    ("GET", "/containers/json?limit=x", None), ("GET", "/networks/none-such", None), ("GET", '/networks?filters={"none-such":["x"]}', None), ("GET", "/images/none-such/json", None), ("GET", "/images/none-such/history", None),
    ("DELETE", "/images/none-such", None), ("DELETE", "/images/golden:1", None), ("POST", "/images/none-such/tag?repo=x", None), ("POST", "/images/golden:1/tag?repo=UPPER", None), ("GET", '/images/json?filters={"none-such":["x"]}', None),
    ("GET", "/none-such", None), ("POST", "/version", None), ("GET", "/v1.99/version", None), ("GET", "/v1.1/version", None), ("GET", "/swarm", None), ("GET", '/events?until=1&filters={"none-such":["x"]}', None), ("GET", "/events?since=x&until=1", None),
]


class Api:
    def __init__(self, sock, version="/v1.41"):
        self.sock, self.version = str(sock), version

    def __call__(self, method, path, body=None, kind="application/json"):
        conn = http.client.HTTPConnection("localhost", timeout=60)
        conn.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        conn.sock.settimeout(60)
        conn.sock.connect(self.sock)
        data = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        url = path if re.match(r"/v1\.\d+/", path) else self.version + path
        conn.request(method, url.replace('"', "%22").replace("{", "%7B").replace("}", "%7D"), data, {"Content-Type": kind} if data is not None else {})
        r = conn.getresponse()
        raw = r.read()
        conn.close()
        try:
            return r.status, json.loads(raw)
        except ValueError:
            return r.status, raw.decode(errors="replace")


def answer(a):
    """The status, and what kind of thing the body is: the texts are those of newer versions and stand in tests/api."""
    return [a[0], sorted(a[1]) if isinstance(a[1], dict) else type(a[1]).__name__]


def play(sock, tar):
    """The answers by name."""
    api = Api(sock)
    out = {}
    status, text = api("POST", "/images/create?fromSrc=-&repo=golden&tag=1&changes=EXPOSE%2080&changes=ENV%20P%3Dq&changes=LABEL%20x%3Dy&changes=CMD%20%5B%22sh%22%5D&message=hello", tar, "application/x-tar")
    assert status == 200, text
    status, out["create"] = api("POST", "/containers/create?name=golden-a", A)
    assert status == 201, out
    a = out["create"]["Id"]
    status, out["create_b"] = api("POST", "/containers/create?name=golden-b", B)
    assert status == 201, out
    assert api("POST", "/containers/create?name=golden-c", C)[0] == 201
    assert api("POST", "/containers/golden-c/start")[0] == 204
    out["wait"] = api("POST", "/containers/golden-c/wait")[1]
    assert api("POST", "/containers/golden-a/start")[0] == 204
    out["inspect_running"] = api("GET", "/containers/golden-a/json")[1]
    out["inspect_created"] = api("GET", "/containers/golden-b/json")[1]
    out["inspect_created"]["Mounts"].sort(key=lambda m: m["Destination"])
    while (c := api("GET", "/containers/golden-c/json")[1])["State"]["Running"]:
        time.sleep(0.05)
    out["inspect_exited"] = c
    out["containers"] = api("GET", "/containers/json?all=1")[1]
    for c in out["containers"]:
        c["Mounts"].sort(key=lambda m: m["Destination"])
    out["networks"] = sorted(api("GET", "/networks")[1], key=lambda n: n["Name"])
    out["network_bridge"] = api("GET", "/networks/bridge")[1]
    out["info"] = api("GET", "/info")[1]
    out["version"] = api("GET", "/version")[1]
    out["images"] = api("GET", "/images/json")[1]
    out["image"] = api("GET", "/images/golden:1/json")[1]
    out["history"] = api("GET", "/images/golden:1/history")[1]
    out["top"] = api("GET", "/containers/golden-a/top")[1]
    out["top"]["Processes"] = [[p[0], p[-1]] for p in out["top"]["Processes"]]
    exec_id = api("POST", "/containers/golden-a/exec", {"Cmd": ["true", "x"], "AttachStdout": True})[1]["Id"]
    out["exec"] = api("GET", f"/exec/{exec_id}/json")[1]
    out["errors"] = {f"{m} {p}" + ("" if b is None else f" {json.dumps(b)}"): answer(api(m, p, b)) for m, p, b in ERRORS}
    out["delete"] = api("DELETE", "/containers/golden-b")[0]
    for c in api("GET", "/containers/json?all=1")[1]:
        api("DELETE", f"/containers/{c['Id']}?force=1")
    out["untag"] = api("DELETE", "/images/golden:1?force=1")[1]
    return settle(out, a)


# What differs from run to run or machine to machine becomes a word. (Type names are kept apart: "<id>" is a string, {"<number>": 0} cannot be mistaken.)
NUMBERS = {"Pid", "Created", "Size", "VirtualSize", "NCPU", "MemTotal", "NFd", "NGoroutines", "NEventsListener", "SharedSize"}
TEXTS = {
    "KernelVersion", "OperatingSystem", "OSVersion", "SystemTime", "Name@info", "ID@info", "DockerRootDir", "ServerVersion", "Version", "GitCommit", "GoVersion", "BuildTime", "ApiVersion", "MinAPIVersion", "SandboxKey", "ResolvConfPath",
    "HostnamePath", "HostsPath", "LogPath", "MergedDir", "UpperDir", "WorkDir", "LowerDir", "SandboxID", "Created", "StartedAt", "FinishedAt", "LastTagTime", "EndpointID", "NetworkID", "Status", "DockerVersion", "Expected",
}


def settle(value, mine, key="", where=""):
    if isinstance(value, dict):
        return {re.sub(r"\b[0-9a-f]{64}\b", "<id>", k): settle(v, mine, k, where or k) for k, v in value.items()}
    if isinstance(value, list):
        return [settle(v, mine, key, where) for v in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and key in NUMBERS and value > 0:
        return "<number>"
    if isinstance(value, str):
        if (key in TEXTS or f"{key}@{where}" in TEXTS) and value and not (key == "Status" and where == "inspect_created"):
            return f"<{key}>"
        value = re.sub(r"\b[0-9a-f]{64}\b", "<id>", value)
        value = value.replace(mine[:12], "<short>")
        value = re.sub(r"\b[0-9a-f]{12}\b", "<short>", value)
        value = re.sub(r"/tmp/pontoon-lab\.\w+", "<lab>", value)
    return value
