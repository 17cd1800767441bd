"""A machine of the group on Google Cloud, from its first boot to its end: in a clean Debian with a systemd of its own, on peers
of the sandbox, deploy-gce's start-up script installs the package and starts the agent; an object is copied; on scale-in and on
preemption the shut-down script lets it drain. Run by `gce-machine` beside it, in a network of its own."""

import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

from gce_template import render
from machine import DEPLOY, Machine, eventually, health

GCE = pathlib.Path("deploy-gce")
BUILT = pathlib.Path(os.environ["BINARIES"])
LARGE = 60 << 20


class Peers:
    """The peers' process, and what it answers. It ends when its stdin is closed."""

    def __init__(self, package, ops_agent, attributes):
        self.folder = tempfile.TemporaryDirectory()
        arguments = []
        for name, value in attributes.items():
            file = pathlib.Path(self.folder.name) / name
            file.write_text(value)
            arguments += [name, file]
        self.process = subprocess.Popen(
            [BUILT / "examples/google", package, ops_agent, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.at = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the peers have ended")
        return json.loads(line)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.folder.cleanup()


def package():
    """What the check `package` has made of the programs that are built already."""
    (made,) = (DEPLOY / "dist").glob("*.deb")
    return made


def ops_agent():
    """A package of its name that leaves a mark."""
    tree = DEPLOY / "gce/ops-agent"
    (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
    (tree / "opt").mkdir(exist_ok=True)
    (tree / "opt/ops-agent").write_text("installed")
    control = ("Package: google-cloud-ops-agent", "Version: 2.0", "Architecture: all", "Maintainer: nobody <n@example.invalid>")
    (tree / "DEBIAN/control").write_text("\n".join((*control, "Description: stands in for it", "")))
    made = DEPLOY / "gce/ops-agent.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, made], check=True, capture_output=True)
    return made


def attributes(made, ops_agent):
    """What group.tf puts into the template's metadata."""
    values = {
        "keyless": False,
        "secret": "projects/sandbox-project/secrets/skyferry-keys/versions/latest",
        "queue": "skyferry",
        "table": "skyferry",
        "aws_region": "us-east-1",
        "source_buckets": ["photos"],
        "destination_bucket": "copies",
        "destination_prefix": "",
        "port": 9180,
        "metric": "custom.googleapis.com/skyferry/backlog",
        "role_arn": "",
        "audience": "",
    }
    return {
        "skyferry-package": "gs://packages/skyferry.deb",
        "skyferry-package-sha256": hashlib.sha256(made.read_bytes()).hexdigest(),
        "skyferry-settings": render((GCE / "agent.toml.tftpl").read_text(), values),
        "skyferry-health": "http://127.0.0.1:9180/healthz",
        "skyferry-scan": "hourly",
        "skyferry-ops-agent": "gs://packages/ops-agent.deb",
        "skyferry-ops-agent-sha256": hashlib.sha256(ops_agent.read_bytes()).hexdigest(),
    }


def elsewhere(at):
    """Where the agent's services are, which on Google Cloud nobody has to say."""
    variables = {
        "GCE_METADATA_HOST": at["metadata"],
        "AWS_ENDPOINT_URL": at["amazon"],
        "SKYFERRY__DESTINATION__ENDPOINT": at["gcs"],
        "SKYFERRY__CREDENTIALS__SOURCE__ENDPOINT": at["secrets"],
        "SKYFERRY__CREDENTIALS__DESTINATION__ENDPOINT": at["secrets"],
        "SKYFERRY__STATUS__ENDPOINT": at["monitoring"],
    }
    return "[Service]\n" + "".join(f"Environment={name}={value}\n" for name, value in variables.items())


class OnGoogle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.package = package()
        cls.ops_agent = ops_agent()

    @contextlib.contextmanager
    def world(self, **changed):
        meant = {**attributes(self.package, self.ops_agent), **changed}
        with Peers(self.package, self.ops_agent, meant) as peers, Machine() as machine:
            for script in ("start-up.sh", "shut-down.sh"):
                machine.write(f"opt/{script}", (GCE / script).read_text())
            machine.write("etc/systemd/system/skyferry-agent.service.d/sandbox.conf", elsewhere(peers.at))
            yield machine, peers

    def start_up(self, machine, peers, check=True):
        at = peers.at
        where = [f"GCE_METADATA_HOST={at['metadata']}", f"STORAGE_EMULATOR_HOST={at['gcs']}"]
        return machine.run("env", *where, "bash", "/opt/start-up.sh", check=check)

    def drains(self, machine, peers, key, reason, trouble=lambda: None):
        """In the middle of a large object, of which the fourth part hangs."""
        peers.ask("stall")
        peers.ask("put", key, LARGE)
        eventually("three parts are written", 60, lambda: peers.ask("parts") == 3)
        trouble()
        started = time.monotonic()
        machine.run("bash", "/opt/shut-down.sh")
        self.assertLess(time.monotonic() - started, 25)
        ended = machine.unit("skyferry-agent", "ActiveState", "ExecMainStatus")
        self.assertEqual(ended, {"ActiveState": "inactive", "ExecMainStatus": "143"}, "by itself, and not in error")
        said = machine.journal("skyferry-agent")
        self.assertIn(f'"reason":"{reason}"', said)
        self.assertNotIn("giving up", said)
        self.assertEqual(peers.ask("messages"), [1, 0], "its message is given back at once")
        peers.ask("forgive")

    def test_it_starts_copies_and_drains_on_scale_in_and_on_preemption(self):
        with self.world() as (machine, peers):
            said = self.start_up(machine, peers).stdout
            self.assertIn("the agent answers", said)
            self.assertTrue(health())
            running = machine.unit("skyferry-agent", "User", "MainPID", "UnitFileState")
            self.assertEqual((running["User"], running["UnitFileState"]), ("skyferry", "enabled"))

            timer = machine.unit("skyferry-scan.timer", "TimersCalendar", "ActiveState")
            self.assertIn("*-*-* *:00:00", timer["TimersCalendar"])
            self.assertEqual(timer["ActiveState"], "active")
            self.assertEqual((machine.root / "opt/ops-agent").read_text(), "installed")

            again = self.start_up(machine, peers).stdout
            self.assertNotIn("installed", again)
            self.assertNotIn("wrote", again)
            self.assertEqual(machine.unit("skyferry-agent", "MainPID")["MainPID"], running["MainPID"], "nothing changes")

            # Of two machines whose timers fire, one scans.
            machine.write("etc/systemd/system/skyferry-scan.service.d/sandbox.conf", elsewhere(peers.at))
            machine.run("systemctl", "daemon-reload")
            for _ in range(2):
                machine.run("systemctl", "start", "skyferry-scan")
            scans = machine.journal("skyferry-scan")
            self.assertEqual(scans.count("another scan of this fleet has just started"), 1, scans)

            peers.ask("put", "a", 1000)
            eventually("an object is copied", 60, lambda: peers.ask("copied", "a"))
            eventually("the backlog is published", 90, lambda: peers.ask("points") > 0)

            self.drains(machine, peers, "large", "SIGTERM")
            self.start_up(machine, peers)
            eventually("the next one ends what was begun", 60, lambda: peers.ask("copied", "large"))
            eventually("and its message", 60, lambda: peers.ask("messages") == [0, 0])
            self.drains(machine, peers, "larger", "preemption notice", lambda: peers.ask("preempt"))

    def test_an_ops_agent_that_is_another_one_is_not_installed_and_the_agent_works(self):
        with self.world(**{"skyferry-ops-agent-sha256": "0" * 64, "skyferry-scan": "off"}) as (machine, peers):
            said = self.start_up(machine, peers)
            self.assertIn("is not what was asked for", said.stderr)
            self.assertIn("the Ops Agent could not be installed", said.stdout)
            self.assertFalse((machine.root / "opt/ops-agent").exists())
            self.assertTrue(health())
            self.assertEqual(machine.unit("skyferry-scan.timer", "ActiveState")["ActiveState"], "inactive")

    def test_a_package_that_is_another_one_is_not_installed(self):
        with self.world(**{"skyferry-package-sha256": "0" * 64}) as (machine, peers):
            ended = self.start_up(machine, peers, check=False)
            self.assertEqual(ended.returncode, 1)
            self.assertIn("is not what was asked for", ended.stderr)
            self.assertNotEqual(machine.run("dpkg", "--status", "skyferry", check=False).returncode, 0)
