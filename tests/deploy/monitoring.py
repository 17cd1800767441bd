"""deploy-monitoring as a real Prometheus has it: it scrapes an agent that copies between two buckets through fronts which refuse,
break and delay on demand. Every alert fires when it must and ends when its cause does; every expression of the dashboard is
answered. The rules are those that are shipped, with minutes made seconds."""

import http.client
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request

import boto3
import yaml

from tests.deploy.waiting import free_port, within

RULES = pathlib.Path("deploy-monitoring/rules.yaml")
DASHBOARD = pathlib.Path("deploy-monitoring/dashboard.json")
ALERTS = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
KEYS = {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox", "region_name": "us-east-1"}
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
# Of the queue, in seconds: the least that SQS has. With the share below, a message is old after 12 s and renewed after 30.
RETENTION = 60


class Front(http.server.ThreadingHTTPServer):
    """Between the agent and one side's store. `mode`: passes | denies | flips, which changes a bit of each body that is read."""

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind, self.mode = port, "passes"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def passed(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.mode == "denies":
            return self.answer(403, [("Content-Type", "application/xml")], DENIED)
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=30)
        behind.request(self.command, self.path, body, dict(self.headers))
        response = behind.getresponse()
        content = response.read()
        if self.server.mode == "flips" and self.command == "GET" and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in ("connection", "transfer-encoding")]
        self.answer(response.status, headers, content)
        behind.close()

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            if self.command == "HEAD" or name.lower() != "content-length":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = passed

    def log_message(self, *_):
        pass


# Gives keys that end soon, until there is a file beside it: then such as last.
GIVER = """
import datetime, json, pathlib, sys
life = 3600 if pathlib.Path(sys.argv[1]).exists() else 30
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=life)
print(json.dumps({"Version": 1, "AccessKeyId": "sandbox", "SecretAccessKey": "sandbox", "Expiration": end.isoformat()}))
"""


class Monitoring(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, self.port = pathlib.Path(folder.name), free_port()
        variables = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port), "TMPDIR": folder.name, "IOT_MTLS_ENABLED": "0"}
        self.start("ministack", [pathlib.Path(os.environ["SKYFERRY_PEERS"]) / "bin/ministack"], variables)
        within(60, "ministack", lambda: self.get(self.port, "/_ministack/health"))
        self.s3, self.sqs = (boto3.client(name, endpoint_url=f"http://127.0.0.1:{self.port}", **KEYS) for name in ("s3", "sqs"))
        for bucket in ("photos", "copies"):
            self.s3.create_bucket(Bucket=bucket)
        self.letters = self.sqs.create_queue(QueueName="letters")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "1000"})
        attributes = {"MessageRetentionPeriod": str(RETENTION), "RedrivePolicy": redrive}
        self.queue = self.sqs.create_queue(QueueName="events", Attributes=attributes)["QueueUrl"]
        self.source, self.destination = Front(self.port), Front(self.port)
        for front in (self.source, self.destination):
            self.addCleanup(front.server_close)
            self.addCleanup(front.shutdown)
        self.agent = self.start_agent()
        self.prometheus = self.start_prometheus()

    def start(self, name, command, variables=()):
        """Ends with the test."""
        log = open(self.folder / f"{name}.log", "wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            command, env={**os.environ, **dict(variables)}, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def start_agent(self):
        lasting, giver, port = self.folder / "lasting", self.folder / "giver.py", free_port()
        giver.write_text(GIVER)
        (self.folder / "aws").write_text(
            f"[profile ending]\nregion = us-east-1\ncredential_process = {sys.executable} {giver} {lasting}\n"
        )
        self.lasting = lasting
        settings = self.folder / "agent.toml"
        settings.write_text(f"""
            [credentials]
            source = {{ provider = "profile", name = "ending" }}
            destination = {{ provider = "environment" }}
            queue = {{ provider = "environment" }}
            [queue]
            name = "events"
            endpoint = "http://127.0.0.1:{self.port}"
            region = "us-east-1"
            [ledger]
            kind = "embedded"
            [source]
            kind = "s3"
            endpoint = "{self.source.url}"
            [destination]
            kind = "s3"
            bucket = "copies"
            storage_class = ""
            region = "us-east-1"
            endpoint = "{self.destination.url}"
            [[routes]]
            source_bucket = "photos"
            [status]
            listen = "127.0.0.1:{port}"
        """)
        variables = {
            "AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox", "AWS_CONFIG_FILE": str(self.folder / "aws"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "none"), "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        program = pathlib.Path(os.environ["BINARIES"], "skyferry-agent").absolute()
        process = self.start("agent", [program, "--config", settings], variables)
        within(30, "the agent", lambda: process.poll() is None and self.get(port, "/readyz"))
        return port

    def start_prometheus(self):
        """With the rules that are shipped: their windows in seconds, their waits a second, and a fifth of the retention."""
        rules, port = RULES.read_text(), free_port()
        rules, windows = re.subn(r"\[\d+m\]", "[8s]", rules)
        rules, waits = re.subn(r"for: \d+m", "for: 1s", rules)
        rules, shares = re.subn(r"0\.75", "0.2", rules)
        self.assertGreater(min(windows, waits, shares), 0)
        (self.folder / "rules.yaml").write_text(rules)
        (self.folder / "prometheus.yaml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "fleet", "static_configs": [{"targets": [f"127.0.0.1:{self.agent}"]}]}],
        }))  # fmt: skip
        flags = (f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={self.folder}/data", "--config.file=prometheus.yaml")
        self.start("prometheus", [pathlib.Path(os.environ["PROMETHEUS"], "prometheus").absolute(), *flags])
        within(30, "Prometheus", lambda: self.get(port, "/-/ready"))
        return port

    def get(self, port, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.read().decode()

    def ask(self, path, **parameters):
        answer = json.loads(self.get(self.prometheus, f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
        self.assertEqual(answer["status"], "success")
        return answer["data"]

    def firing(self):
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def fires(self, *names):
        for name in names:
            within(60, f"{name} fires; now {self.firing()}", lambda: name in self.firing())

    def ends(self, *names):
        for name in names:
            within(100, f"{name} ends; now {self.firing()}", lambda: name not in self.firing())

    def send(self, *keys):
        for key in keys:
            self.s3.put_object(Bucket="photos", Key=key, Body=key.encode() * 100)
            entry = {"bucket": {"name": "photos"}, "object": {"key": key, "size": len(key) * 100}}
            event = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventVersion": "2.1", "s3": entry}
            self.sqs.send_message(QueueUrl=self.queue, MessageBody=json.dumps({"Records": [event]}))

    def copied(self):
        return {entry["Key"] for entry in self.s3.list_objects_v2(Bucket="copies").get("Contents", [])}

    def test_each_alert_fires_and_ends_and_the_dashboard_is_answered(self):
        # An increase needs what was before.
        within(30, "two scrapes", lambda: self.ask("query", query="count_over_time(up[1m]) > 1")["result"])
        # What cannot be read, and keys that end and are not renewed yet: the rest is well.
        self.sqs.send_message(QueueUrl=self.queue, MessageBody="not an event")
        first = [f"first-{n}" for n in range(20)]
        self.send(*first)
        self.fires("SkyferryObjectsParked", "SkyferryCredentialsExpiring")
        within(30, "the first copies", lambda: set(first) <= self.copied())
        self.lasting.touch()
        self.assertFalse(self.firing() & {"SkyferryOutage", "SkyferryNoProgress", "SkyferryChecksumMismatch"})

        self.destination.mode = "denies"
        second = [f"second-{n}" for n in range(20)]
        self.send(*second)
        self.fires("SkyferryOutage", "SkyferryNoProgress", "SkyferryMessagesNearRetention", "SkyferryDeadLetters")
        self.destination.mode = "passes"
        self.sqs.purge_queue(QueueUrl=self.letters)
        self.ends("SkyferryOutage", "SkyferryNoProgress", "SkyferryObjectsParked", "SkyferryCredentialsExpiring")
        within(60, "the second copies", lambda: set(second) <= self.copied())

        self.source.mode = "flips"
        self.send("third")
        self.fires("SkyferryChecksumMismatch")
        self.assertNotIn("third", self.copied())
        self.source.mode = "passes"
        within(60, "the third copy", lambda: "third" in self.copied())
        self.assertEqual(self.s3.get_object(Bucket="copies", Key="third")["Body"].read(), b"third" * 100)
        self.answer_dashboard()
        self.ends(*ALERTS)

    def answer_dashboard(self):
        """Each expression, over all that has happened."""
        panels = json.loads(DASHBOARD.read_text())["panels"]
        expressions = [target["expr"] for panel in panels for target in panel["targets"]]
        self.assertGreater(len(expressions), 25)
        for expression in expressions:
            for variable, value in {"$job": "fleet", "$instance": ".*", "$__rate_interval": "5m", "$__range": "5m"}.items():
                expression = expression.replace(variable, value)
            self.assertNotIn("$", expression)
            # What there is only for some time, like credentials that end, is there within the time shown.
            start = time.time() - 120
            found = self.ask("query_range", query=expression, start=start, end=start + 120, step=1)["result"]
            if "part_retries" not in expression:
                self.assertTrue(found, f"no answer: {expression}")
        for name in ("skyferry_part_retries_total", "skyferry_requests_total", "skyferry_request_seconds_bucket"):
            self.assertTrue(self.ask("query", query=name)["result"], name)


if __name__ == "__main__":
    unittest.main()
