#!/usr/bin/env python3
"""A machine of the group, from its first boot to its end: in a clean Debian with a systemd of its own, on peers of the sandbox,
deploy-gce's start-up script installs the package and starts the agent; an object is copied; on scale-in and on preemption the
shut-down script lets it drain. Needs root.

    gce_machine.py ROOT TARGET      ROOT: what debootstrap left, which is not changed; TARGET: where the programs are built

Exit 0: all of it went as it should.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from gce_template import render

REPOSITORY = Path(__file__).resolve().parents[2]
GCE = REPOSITORY / "deploy-gce"
# The clean root under a layer in memory, and in it a systemd that believes to be alone.
BOOT = r"""
set -e
root=$1 work=$2
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work"/upper "$work"/work "$work"/root
mount -t overlay overlay -o lowerdir="$root",upperdir="$work"/upper,workdir="$work"/work "$work"/root
cd "$work"/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
if [ "$(stat --file-system --format=%T /sys/fs/cgroup)" = cgroup2fs ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /usr/lib/systemd/systemd --system --unit=basic.target
"""


def say(text):
    print(f"gce_machine: {text}", file=sys.stderr, flush=True)


def hold(fact, what):
    if not fact:
        sys.exit(f"gce_machine: not so: {what}")
    say(what)


def eventually(what, within, holds):
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"gce_machine: not within {within} s: {what}")
        time.sleep(0.2)
    say(what)


class Machine:
    def __init__(self, root, work):
        command = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "sh", "-c", BOOT, "boot", root, work]
        self.outer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.init = None
        self.root = f"{work}/root"

    def wait(self):
        def booted():
            if self.outer.poll() is not None:
                sys.exit(f"gce_machine: the clean root did not start ({self.outer.returncode}): this needs root, and mounts and namespaces of its own")
            children = Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children").read_text().split()
            if not children:
                return False
            self.init = children[0]
            state = self.run("systemctl", "is-system-running", check=False, quiet=True).stdout.strip()
            return state in ("running", "degraded")

        eventually("a clean Debian has booted", 60, booted)

    def run(self, *command, check=True, quiet=False, environment=()):
        inside = ["nsenter", f"--target={self.init}", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "chroot", self.root]
        variables = [f"{name}={value}" for name, value in environment]
        ended = subprocess.run([*inside, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *variables, *command], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if quiet else None)
        if check and ended.returncode != 0:
            sys.stderr.write(ended.stdout)
            sys.stderr.write(self.run("journalctl", "--unit=skyferry-agent", "--no-pager", "--lines=40", check=False).stdout)
            sys.exit(f"gce_machine: {' '.join(command)} ended with {ended.returncode}")
        return ended

    def write(self, path, text, mode=0o644):
        # From outside of its mounts, by its first process.
        file = Path(f"/proc/{self.init}/root{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def shown(self, name):
        return self.run("systemctl", "show", "--value", f"--property={name}", "skyferry-agent").stdout.strip()

    def log(self):
        return self.run("journalctl", "--unit=skyferry-agent", "--no-pager", "--output=cat").stdout

    def end(self):
        self.outer.kill()
        self.outer.wait()


class Peers:
    def __init__(self, target, package, attributes):
        arguments = [word for name, file in attributes.items() for word in (name, file)]
        self.process = subprocess.Popen([target / "examples/google", package, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.at = self.answer()

    def answer(self):
        return json.loads(self.process.stdout.readline() or sys.exit("gce_machine: the peers have ended"))

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def package(target, folder):
    """The package that is released, of programs that are built already: without what a debugger would want."""
    programs = folder / "programs"
    programs.mkdir()
    for program in ("skyferry-agent", "skyferry"):
        subprocess.run(["strip", "-o", programs / program, target / program], check=True)
    subprocess.run([REPOSITORY / "deploy-ec2/package/release", folder / "dist"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "BINARIES": str(programs)})
    return next((folder / "dist").glob("*.deb"))


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def attributes(folder, deb, port):
    """What group.tf puts into the template's metadata."""
    settings = render((GCE / "agent.toml.tftpl").read_text(), {
        "keyless": False, "role_arn": "", "audience": "skyferry", "secret": "projects/sandbox-project/secrets/skyferry-keys/versions/latest",
        "queue": "skyferry", "table": "skyferry", "aws_region": "us-east-1", "source_buckets": ["photos"],
        "destination_bucket": "copies", "destination_prefix": "", "port": port, "metric": "custom.googleapis.com/skyferry/backlog",
    })
    values = {
        "skyferry-package": "gs://packages/skyferry.deb",
        "skyferry-package-sha256": hashlib.sha256(deb.read_bytes()).hexdigest(),
        "skyferry-settings": settings,
        "skyferry-health": f"http://127.0.0.1:{port}/healthz",
        "skyferry-ops-agent": "false",
    }
    files = {}
    for name, value in values.items():
        files[name] = folder / name
        files[name].write_text(value)
    return files


def environment_of_agent(at):
    """Where its services are, which on Google Cloud nobody has to say."""
    variables = {
        "GCE_METADATA_HOST": at["metadata"], "AWS_ENDPOINT_URL": at["amazon"], "SKYFERRY__DESTINATION__ENDPOINT": at["gcs"],
        "SKYFERRY__CREDENTIALS__SOURCE__ENDPOINT": at["secrets"], "SKYFERRY__CREDENTIALS__DESTINATION__ENDPOINT": at["secrets"],
        "SKYFERRY__STATUS__ENDPOINT": at["monitoring"],
    }
    return "[Service]\n" + "".join(f"Environment={name}={value}\n" for name, value in variables.items())


def drains(machine, peers, key, trouble, reason):
    """In the middle of a large object."""
    peers.ask("stall")
    peers.ask("put", key, 60 << 20)
    eventually("three parts of a large object are written, the fourth hangs", 60, lambda: peers.ask("parts") >= 3)
    trouble()
    started = time.monotonic()
    machine.run("/opt/shut-down.sh")
    seconds = time.monotonic() - started
    hold(seconds < 25, f"after the {reason} the agent is out in {seconds:.1f} s")
    hold(machine.shown("ActiveState") == "inactive" and machine.shown("ExecMainStatus") == "143", "by itself, drained, and not in error")
    hold(reason in machine.log(), f"its log names the {reason}")
    hold("giving up" not in machine.log(), "nobody made it give up")
    hold(peers.ask("messages") == [1, 0], "its message is given back at once")
    peers.ask("forgive")


def journey(machine, peers, port):
    machine.write("/opt/start-up.sh", (GCE / "start-up.sh").read_text(), 0o755)
    machine.write("/opt/shut-down.sh", (GCE / "shut-down.sh").read_text(), 0o755)
    machine.write("/etc/systemd/system/skyferry-agent.service.d/sandbox.conf", environment_of_agent(peers.at))
    at_peers = [("GCE_METADATA_HOST", peers.at["metadata"]), ("STORAGE_EMULATOR_HOST", peers.at["gcs"])]

    def start_up():
        return machine.run("/opt/start-up.sh", environment=at_peers).stdout

    started = time.monotonic()
    said = start_up()
    hold("the agent answers" in said, f"the start-up script ends after {time.monotonic() - started:.1f} s")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
        hold(answer.read() == b"ok\n", "/healthz answers")
    hold(machine.shown("User") == "skyferry", "the agent is not root")
    machine.run("systemctl", "is-enabled", "skyferry-agent")
    first = machine.shown("MainPID")
    said = start_up()
    hold("installed" not in said and "wrote" not in said and machine.shown("MainPID") == first, "a second boot changes nothing")

    peers.ask("put", "a", 1000)
    eventually("an object is copied", 60, lambda: peers.ask("copied", "a"))
    eventually("the backlog is published", 90, lambda: peers.ask("points") > 0)

    drains(machine, peers, "large", lambda: None, "SIGTERM")
    start_up()
    eventually("its successor ends what it began", 60, lambda: peers.ask("copied", "large"))
    drains(machine, peers, "larger", lambda: peers.ask("preempt"), "preemption notice")


def main():
    root, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if os.geteuid() != 0:
        sys.exit("gce_machine: needs root: it mounts, and starts a systemd of its own")
    for tool in ("unshare", "nsenter", "strip", "dpkg-deb"):
        shutil.which(tool) or sys.exit(f"gce_machine: {tool} is not installed (util-linux, binutils, dpkg)")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "machine").mkdir()
        deb, port = package(target, folder), free_port()
        peers = Peers(target, deb, attributes(folder, deb, port))
        machine = Machine(root, folder / "machine")
        try:
            machine.wait()
            journey(machine, peers, port)
        finally:
            machine.end()
            peers.end()
    say("all of it went as it should")


if __name__ == "__main__":
    main()
