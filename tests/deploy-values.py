#!/usr/bin/env python3
"""Wrong values of the chart fail with the name of their key, and the schema knows every key of the configuration."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

WORKSPACE = Path(__file__).resolve().parent.parent
CHART = WORKSPACE / "deploy/helm/chathook"
PASSWORD = "hunter2hunter2"

# Values of ci/, what is changed in them, and what is said; `lint` where the schema finds it already.
WRONG = [
    ("sqlite", ["--set", "replica=2"], "'replica'", "lint"),
    ("sqlite", ["--set", "replicas=two"], "/replicas", "lint"),
    ("sqlite", ["--set", "image.repository="], "/image/repository", "lint"),
    ("sqlite", ["--set", "image.digest=latest"], "/image/digest", "lint"),
    ("sqlite", ["--set-json", "config.app=[]"], "/config/app", "lint"),
    ("sqlite", ["--set", "config.callbacks.lisen=0.0.0.0:80"], "'lisen'", "lint"),
    ("sqlite", ["--set", "config.callbacks.listen=8080"], "/config/callbacks/listen", "lint"),
    ("sqlite", ["--set", "config.journal.engine=postgres"], "/config/journal/engine", "lint"),
    ("sqlite", ["--set", "config.journal.path=/data/journal.db"], "'path'", "lint"),
    ("sqlite", ["--set", "config.shutdown.delay=5"], "/config/shutdown/delay", "lint"),
    ("sqlite", ["--set", f"config.app[0].tokens[0]={PASSWORD}"], "/config/app/0/tokens", "lint"),
    ("sqlite", ["--set-json", f'config.target=[{{"name":"t","http":{{"url":"https://u:{PASSWORD}@crm"}}}}]'], "/config/target/0/http/url", "lint"),
    ("sqlite", ["--set-json", f'config.target=[{{"name":"t","http":{{"url":"https://crm","headers":{{"Authorization":"{PASSWORD}"}}}}}}]'], "/config/target/0/http/headers/Authorization", "lint"),
    ("sqlite", ["--set", "config.traces.sample=2"], "/config/traces/sample", "lint"),
    ("sqlite", ["--set-json", f'config.traces.otlp={{"url":"http://otlp","headers":{{"Authorization":"{PASSWORD}"}}}}'], "/config/traces/otlp/headers/Authorization", "lint"),
    ("sqlite", ["--set", "service.type=Loadbalancer"], "/service/type", "lint"),
    ("sqlite", ["--set", "service.port=70000"], "/service/port", "lint"),
    ("sqlite", ["--set", "resources.limits.memory=lots"], "/resources/limits/memory", "lint"),
    ("sqlite", ["--set", "secrets[0]=Not_A_Name"], "/secrets/0", "lint"),
    ("sqlite", ["--set", "files.chathook\\.toml=x"], "/files/chathook.toml", "lint"),
    ("sqlite", ["--set-json", 'volumeMounts=[{"name":"a","mountPath":"/a","subPath":"b"}]'], "/volumeMounts/0/subPath", "lint"),
    ("sqlite", ["--set", "replicas=2"], "replicas: 2 replicas need config.journal.engine jetstream", None),
    ("sqlite", ["--set", "autoscaling.enabled=true"], "autoscaling.enabled: needs config.journal.engine jetstream", None),
    ("sqlite", ["--set", "config.journal.engine=jetstream"], "config.journal.nats: is needed", None),
    ("jetstream", ["--set", "config.journal.max_size=1GiB"], "config.journal.max_size: is for", None),
    ("jetstream", ["--set", "config.journal.engine=sqlite"], "config.journal.nats: is for", None),
    ("jetstream", ["--set", "autoscaling.enabled=true,autoscaling.minReplicas=20"], "autoscaling.minReplicas: is more", None),
    ("jetstream", ["--set", "autoscaling.enabled=true,resources.requests=null"], "resources.requests.cpu: is needed", None),
    ("jetstream", ["--set", "config.admin.listen=0.0.0.0:8080"], "config.admin.listen: has the port", None),
    ("jetstream", ["--set", "ingress.enabled=true"], "ingress.host: is needed", None),
    ("jetstream", ["--set", "httpRoute.enabled=true"], "httpRoute.parentRefs: is needed", None),
    ("pod-monitor", ["--set", "monitoring.serviceMonitor.enabled=true"], "monitoring.podMonitor.enabled: ", None),
]

# Where the database of SQLite lies is the chart's to say.
NOT_OURS = {("journal", "path")}


def helm(*arguments):
    call = subprocess.run(["helm", *arguments], capture_output=True, text=True, timeout=60)
    return call.returncode, call.stdout + call.stderr


def wrong_values():
    for values, change, expected, lint in WRONG:
        given = ["--values", str(CHART / f"ci/{values}-values.yaml"), *change]
        calls = [["template", "chathook", str(CHART), *given]]
        if lint:
            calls.append(["lint", "--strict", str(CHART), *given])
        for call in calls:
            code, said = helm(*call)
            if code == 0:
                sys.exit(f"helm {call[0]} takes {change} with the values {values}")
            if expected not in said:
                sys.exit(f"helm {call[0]} with {change} does not say {expected!r}:\n{said}")
            if PASSWORD in said:
                sys.exit(f"helm {call[0]} prints what is secret in {change}:\n{said}")
    print(f"{len(WRONG)} wrong values fail with the names of their keys")


def configured_keys():
    """Every key of the commented configuration, as a path."""
    table = ()
    for line in (WORKSPACE / "config/chathook.toml").read_text().splitlines():
        line = re.sub(r"^# ?", "", line)
        if header := re.match(r'\[{1,2}([a-z0-9_."A-Z]+)\]{1,2}$', line):
            table = tuple(re.findall(r'"[^"]+"|[a-z0-9_]+', header[1]))
        elif key := re.match(r"([a-z0-9_]+) = (.*)$", line):
            try:
                value = tomllib.loads(f"value = {key[2]}")["value"]
            except tomllib.TOMLDecodeError:
                continue  # a sentence
            yield from inside((*table, key[1]), value)


def inside(path, value):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from inside((*path, key), value[key])


def knows(schema, node, path):
    """Whether the schema allows for a key at `path` below `node`."""
    if "$ref" in node:
        return knows(schema, schema["definitions"][node["$ref"].rsplit("/", 1)[1]], path)
    if not path:
        return True
    if any(knows(schema, branch, path) for branch in node.get("anyOf", [])):
        return True
    if node.get("type") == "array":
        return knows(schema, node["items"], path)
    key, rest = path[0].strip('"'), path[1:]
    if key in node.get("properties", {}):
        return knows(schema, node["properties"][key], rest)
    for pattern, branch in node.get("patternProperties", {}).items():
        if re.search(pattern, key):
            return knows(schema, branch, rest)
    return isinstance(node.get("additionalProperties"), dict) and knows(schema, node["additionalProperties"], rest)


def known_keys():
    schema = json.loads((CHART / "values.schema.json").read_text())
    config = schema["properties"]["config"]
    keys = set(configured_keys())
    unknown = sorted(key for key in keys - NOT_OURS if not knows(schema, config, key))
    if unknown:
        sys.exit("values.schema.json lacks keys of config/chathook.toml: " + ", ".join(".".join(key) for key in unknown))
    for key in [("journal", "pth"), ("callbacks", "tls", "crt"), ("target", "http", "headers", "x", "y")]:
        assert not knows(schema, config, key), key
    print(f"the schema knows the {len(keys)} keys of the configuration")


wrong_values()
known_keys()
