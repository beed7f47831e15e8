#!/usr/bin/env python3
"""Runs what the chart renders from its image: configurations are checked, and a Deployment is played as a pod.

    tests/deploy-pods.py NAME:TAG RENDERED.yaml...

Listens on the loopback only. tests/deploy calls it, with what it needs installed.
"""

import contextlib
import hashlib
import http.client
import http.server
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml

WORKSPACE = Path(__file__).resolve().parent.parent
CHART = WORKSPACE / "deploy/helm/chathook"
APP, TOKEN = 1400000001, "only-for-this-test"
LOCKED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"]


def run(*command, **more):
    return subprocess.run([str(it) for it in command], capture_output=True, text=True, timeout=60, **more)


def must(what, call):
    if call.returncode:
        sys.exit(f"{what}: exit code {call.returncode}\n{call.stdout}{call.stderr}")
    return call.stdout


def expect(what, is_so, seen=""):
    print(f"{'ok' if is_so else 'WRONG'}: {what}{': ' if seen else ''}{seen}", flush=True)
    if not is_so:
        sys.exit(1)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(what, is_so, explain=lambda: ""):
    limit = time.monotonic() + 30
    while not is_so():
        if time.monotonic() > limit:
            sys.exit(f"{what}: not within 30 s\n{explain()}")
        time.sleep(0.05)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, response.read().decode()


def callback(port, command, body, token=TOKEN):
    now = int(time.time())
    sign = hashlib.sha256(f"{token}{now}".encode()).hexdigest()
    query = f"SdkAppid={APP}&CallbackCommand={command}&contenttype=json&Sign={sign}&RequestTime={now}"
    return ask(port, "POST", f"/?{query}", json.dumps({"CallbackCommand": command, **body}))


class Authority:
    """A certificate of ours for localhost, and the authority that signed it."""

    def __init__(self, folder):
        self.ca, self.cert, self.key = folder / "ca.pem", folder / "tls.crt", folder / "tls.key"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        must("openssl", run("openssl", "req", "-x509", *curve, "-keyout", folder / "ca.key", "-out", self.ca, "-days", "2",
                            "-subj", "/CN=authority"))
        must("openssl", run("openssl", "req", "-x509", *curve, "-keyout", self.key, "-out", self.cert, "-days", "2",
                            "-subj", "/CN=localhost", "-CA", self.ca, "-CAkey", folder / "ca.key",
                            "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
                            "-addext", "extendedKeyUsage=serverAuth"))
        for file in folder.iterdir():
            file.chmod(0o644)


def configurations_are_good(image, rendered, authority, folder):
    for file in map(Path, rendered):
        objects = [it for it in yaml.safe_load_all(file.read_text()) if it]
        config = next(it["data"] for it in objects if it["kind"] == "ConfigMap" and "chathook.toml" in it["data"])
        pod = next(it for it in objects if it["kind"] in ("Deployment", "StatefulSet"))["spec"]["template"]["spec"]
        place = folder / file.stem
        for name, text in config.items():
            write(place / "etc" / name, text)
        mounts = [f"--volume={place}/etc:/etc/chathook:ro"]
        for volume in pod["volumes"]:
            if name := volume.get("secret", {}).get("secretName"):
                keys = re.findall(rf'/run/secrets/{name}/([^"/]+)"', config["chathook.toml"])
                for key in keys:
                    text = {"tls.crt": authority.cert, "tls.key": authority.key}.get(key)
                    write(place / name / key, text.read_text() if text else TOKEN)
                (place / name).mkdir(parents=True, exist_ok=True)
                mounts.append(f"--volume={place}/{name}:/run/secrets/{name}:ro")
        variables = [f"--env={variable['name']}={TOKEN}" for variable in pod["containers"][0].get("env", [])]
        said = must(f"chathook check of {file}", run(
            "podman", "run", "--rm", "--network=none", *LOCKED, *mounts, *variables, image,
            "check", "--config", "/etc/chathook/chathook.toml"))
        expect(f"chathook check takes the configuration of {file.stem}", ": good" in said)


def a_bad_configuration_says_why(image, folder):
    write(folder / "bad/chathook.toml", f"[[app]]\nsdk_app_id = {APP}\nunsigned = true\n[decide]\ndeadlin = \"1s\"\n")
    call = run("podman", "run", "--rm", "--network=none", *LOCKED, f"--volume={folder}/bad:/etc/chathook:ro", image)
    seen = call.stderr.strip()
    expect("a bad configuration ends the container, and the log has the key", call.returncode == 2 and "deadlin" in seen, seen)


def public_authorities_are_trusted(image, authority):
    """Those of the image, where they are looked for: with them in place, a stranger's certificate is what is wrong."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.cert, authority.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    send = ["send", "State.StateChange", f"--url=https://localhost:{server.server_port}/"]
    stranger = run("podman", "run", "--rm", "--network=host", *LOCKED, image, *send)
    said = (stranger.stdout + stranger.stderr).strip()
    expect("the image has authorities, and they know no stranger", stranger.returncode == 1 and "UnknownIssuer" in said, said)
    known = run("podman", "run", "--rm", "--network=host", *LOCKED,
                f"--volume={authority.ca}:/etc/ssl/certs/ca-certificates.crt:ro", image, *send)
    said = (known.stdout + known.stderr).strip()
    expect("authorities are looked for where the image has them", known.returncode == 0 and "status: 200" in said,
           said.splitlines()[0])
    server.shutdown()


def a_pod_is_played(image, folder):
    """The Deployment as it is rendered, but for the network, which is the host's: containers in containers need that."""
    callbacks, admin, nats = free_port(), free_port(), free_port()
    name, tag = image.rsplit(":", 1)
    rendered = must("helm", run(
        "helm", "template", "chathook", CHART, "--namespace", "chathook", "--values", CHART / "ci/jetstream-values.yaml",
        "--set", f"image.repository={name},image.tag={tag},image.pullPolicy=Never,replicas=1",
        "--set", f"config.callbacks.listen=127.0.0.1:{callbacks},config.admin.listen=127.0.0.1:{admin}",
        "--set", f"config.journal.nats.url=nats://127.0.0.1:{nats},config.journal.nats.replicas=1",
        "--set", "config.journal.nats.require_durable=false,config.shutdown.delay=2s",
        "--show-only", "templates/configmap.yaml", "--show-only", "templates/deployment.yaml",
        "--show-only", "templates/tests/callback.yaml"))
    objects = [it for it in yaml.safe_load_all(rendered) if it]
    helm_test = objects.pop(next(i for i, it in enumerate(objects) if it["kind"] == "Pod"))["spec"]["containers"][0]
    deployment = next(it for it in objects if it["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container.pop("ports")}
    pod["hostNetwork"] = True
    # Old versions of podman hand out what is in a Secret without decoding it.
    write(folder / "secrets/callback-token", TOKEN)
    for volume in pod["volumes"]:
        if volume.pop("secret", None):
            volume["hostPath"] = {"path": str(folder / "secrets"), "type": "Directory"}
    file = folder / "pod.yaml"
    file.write_text(yaml.safe_dump_all(objects))

    server = subprocess.Popen(
        [WORKSPACE / "target/tools/bin/nats-server", "--addr", "127.0.0.1", "--port", str(nats), "--jetstream",
         "--store_dir", folder / "nats"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until("nats-server", lambda: listens(nats))
        must("podman kube play", run("podman", "kube", "play", file))
        played = run("podman", "ps", "--all", "--pod", "--filter", "name=-chathook$", "--format", "{{.Names}} {{.PodName}}").stdout.split()
        expect("the Deployment is played", len(played) == 2, " in ".join(played) or run("podman", "ps", "--all", "--pod").stdout)
        name, pod_name = played
        log = lambda: run("podman", "logs", "--tail", "3", name).stderr
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path, port = (container[probe]["httpGet"][key] for key in ("path", "port"))

            def answers():
                with contextlib.suppress(OSError):
                    return ask(ports[port], "GET", path)[0] == 200
                return False

            wait_until(f"{probe} asks {path}", answers, log)
            expect(f"{probe} gets 200 from {path}", True)

        before = callback(callbacks, "Group.CallbackBeforeSendMsg", {"GroupId": "@TGS#1", "From_Account": "u_1", "MsgBody": []})
        expect("a signed callback is decided", before[0] == 200 and json.loads(before[1])["ActionStatus"] == "OK", before)
        after = callback(callbacks, "Group.CallbackAfterSendMsg",
                         {"GroupId": "@TGS#1", "From_Account": "u_1", "MsgSeq": 1, "MsgBody": []})
        expect("an after-callback is kept in JetStream", after[0] == 200 and json.loads(after[1])["ActionStatus"] == "OK", after)
        refused = callback(callbacks, "Group.CallbackBeforeSendMsg", {}, token="another")
        expect("one of somebody else is refused", refused[0] == 403, refused)
        arguments = [it.replace("$(CALLBACK_TOKEN)", TOKEN).replace("http://chathook:80/", f"http://127.0.0.1:{callbacks}/")
                     for it in helm_test["args"]]
        tested = must("what helm test calls", run("podman", "run", "--rm", "--network=host", *LOCKED, image, *arguments))
        expect("helm test passes", "status: 200" in tested, tested.splitlines()[0])
        outcome = 'chathook_callbacks_total{command="Group.CallbackAfterSendMsg",outcome="acknowledged"} 1'
        expect("metrics count it", outcome in ask(admin, "GET", "/metrics")[1])

        # What a load balancer sees while the pod ends.
        grace = pod["terminationGracePeriodSeconds"]
        began = time.monotonic()
        stop = subprocess.Popen(["podman", "pod", "stop", "--time", str(grace), pod_name],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until("a pod that ends is not ready", lambda: ask(admin, "GET", "/readyz")[0] == 503)
        still = callback(callbacks, "Group.CallbackBeforeSendMsg", {"GroupId": "@TGS#1", "From_Account": "u_1", "MsgBody": []})
        expect("a pod that ends is not ready, and still answers", still[0] == 200, still)
        stop.wait(timeout=grace + 30)
        took = time.monotonic() - began
        expect(f"it has ended within its {grace} s", took < grace, f"{took:.1f} s")
        code = run("podman", "inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip()
        expect("by itself", code == "0", f"exit code {code}")
    finally:
        run("podman", "kube", "play", "--down", file)
        run("podman", "volume", "rm", "chathook")
        server.terminate()
        server.wait(timeout=10)


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o644)
    file.parent.chmod(0o755)


def main():
    image, *rendered = sys.argv[1:]
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        (folder / "ca").mkdir()
        authority = Authority(folder / "ca")
        configurations_are_good(image, rendered, authority, folder)
        a_bad_configuration_says_why(image, folder)
        public_authorities_are_trusted(image, authority)
        a_pod_is_played(image, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
