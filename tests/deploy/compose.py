"""docs/compose.yaml without containers: its files and settings are read as their programs read them, and the SeaweedFS of the
tests and the agent that was built run by them, with addresses of this machine in place of the services' names."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import tomllib
import unittest

import boto3
import yaml

from tests.deploy.waiting import within

FILE = pathlib.Path("docs/compose.yaml")
WEED = pathlib.Path(os.environ["SKYFERRY_PEERS"]) / "bin" / "weed"
BINARIES = pathlib.Path(os.environ["BINARIES"])
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES, CONFIGS = COMPOSE["services"], {name: config["content"] for name, config in COMPOSE["configs"].items()}


def free_ports(count):
    """SeaweedFS takes for each port another one, 10,000 higher."""
    with contextlib.ExitStack() as held:
        found = []
        while len(found) < count:
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if port + 10_000 < 65_536:
                found.append(port)
        return found


class Compose(unittest.TestCase):
    def test_what_is_named_exists_and_nothing_is_open_to_the_network(self):
        for name, service in SERVICES.items():
            with self.subTest(service=name):
                self.assertRegex(service["image"], r"^[\w./-]+:v?\d+\.\d+(\.\d+)?$", "pinned")
                for port in service["ports"]:
                    self.assertRegex(port, r"^127\.0\.0\.1:\d+:\d+$")
                for config in service.get("configs", []):
                    self.assertIn(config["source"], CONFIGS)
                for volume in service.get("volumes", []):
                    source = volume.split(":")[0]
                    self.assertTrue(source in COMPOSE["volumes"] or (FILE.parent / source).is_file(), source)
        used = {config["source"] for service in SERVICES.values() for config in service.get("configs", [])}
        self.assertEqual(used, set(CONFIGS), "all are mounted somewhere")
        version = re.search(r'^version = "(.+)"$', pathlib.Path("Cargo.toml").read_text(), re.M)[1]
        self.assertEqual(SERVICES["agent"]["image"], f"skyferry:{version}")

    def test_the_services_know_each_other_by_name_and_port(self):
        scraped = yaml.safe_load(CONFIGS["prometheus"])
        self.assertEqual(scraped["scrape_configs"][0]["static_configs"][0]["targets"], ["agent:9180"])
        self.assertEqual(yaml.safe_load(CONFIGS["datasources"])["datasources"][0]["url"], "http://prometheus:9090")
        folder = yaml.safe_load(CONFIGS["dashboards"])["providers"][0]["options"]["path"]
        self.assertTrue(any(volume.split(":")[1].startswith(folder + "/") for volume in SERVICES["grafana"]["volumes"]))
        webhook = tomllib.loads(CONFIGS["notification"])["notification"]["webhook"]
        self.assertEqual(webhook["endpoint"], "http://agent:9181/events")
        self.assertEqual(webhook["bearer_token"], CONFIGS["token"].strip())

    def test_an_object_that_is_put_into_seaweedfs_is_copied_by_its_webhook(self):
        with tempfile.TemporaryDirectory(prefix="skyferry-compose-") as folder, contextlib.ExitStack() as running:
            folder = pathlib.Path(folder)
            master, volume, filer, s3, events, status = free_ports(6)
            here = {"http://seaweedfs:8333": f"http://127.0.0.1:{s3}", "http://agent:9181": f"http://127.0.0.1:{events}",
                    "0.0.0.0:9181": f"127.0.0.1:{events}", "0.0.0.0:9180": f"127.0.0.1:{status}",
                    "/var/lib/skyferry": str(folder), "/etc/skyferry": str(folder), "/etc/seaweedfs": str(folder)}
            (folder / "data").mkdir()

            def local(text):
                for there, at in here.items():
                    text = text.replace(there, at)
                return text

            for service in ("seaweedfs", "agent"):
                for config in SERVICES[service]["configs"]:
                    (folder / pathlib.Path(config["target"]).name).write_text(local(CONFIGS[config["source"]]))

            def start(command, name):
                log = running.enter_context(open(folder / name, "wb"))
                process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
                running.callback(lambda: (process.terminate(), process.wait(60)))
                return process

            agent = start([BINARIES.resolve() / "skyferry-agent", "--config", folder / "agent.toml"], "agent.log")
            given = local(SERVICES["seaweedfs"]["command"]).split()
            given = [word for word in given if not word.startswith(("-ip", "-dir"))]
            ports = [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"]
            start([WEED, *given, "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder / 'data'}", "-s3.port.lance=0",
                   "-s3.port.iceberg=0", *ports], "weed.log")
            keys = json.loads(CONFIGS["keys"])
            client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3}", region_name="us-east-1", **keys)
            try:
                within(60, "SeaweedFS has a bucket", lambda: client.create_bucket(Bucket="photos"), Exception)
                client.create_bucket(Bucket="copies")
                client.put_object(Bucket="photos", Key="2026/a b+ü.jpg", Body=b"a picture")
                copied = lambda: client.get_object(Bucket="copies", Key="2026/a b+ü.jpg")["Body"].read()
                self.assertEqual(within(60, "the object is copied", copied, Exception), b"a picture")
                self.assertIsNone(agent.poll())
            except AssertionError as error:
                raise AssertionError(f"{error}\n{(folder / 'agent.log').read_text()[-4000:]}") from None


if __name__ == "__main__":
    unittest.main()
