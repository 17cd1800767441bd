"""The package and the template on machines of their own. Each machine is a copy of a clean Debian root, booted with its own
systemd; the cloud is ministack; the user data is what CloudFormation makes of the template. Run by `machine` beside it, in a
network of its own: ports are fixed here as they are on a real machine."""

import base64
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import boto3
from cfnlint.decode import decode

DEPLOY = pathlib.Path(os.environ["DEPLOY"])
DIST = DEPLOY / "dist"
PACKAGE = pathlib.Path("deploy-ec2/package")
CLOUD = "http://127.0.0.1:4566"
METADATA = "http://127.0.0.1:4567"
REGION = "us-east-1"
AWAY = (urllib.error.URLError, OSError)


def eventually(what, within, look):
    """What `look` finds, looked for now and again."""
    until = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() > until:
            raise AssertionError(f"within {within} s: {what}")
        time.sleep(0.2)
    return found


def only(pattern):
    (file,) = DIST.glob(pattern)
    return file


class Machine:
    """A clean root that runs; gone at the end."""

    def __enter__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(dir=DEPLOY, prefix="machine-"))
        subprocess.run(["cp", "-a", "--reflink=auto", f"{DEPLOY}/debian/.", self.root], check=True)
        self.write(
            "etc/systemd/system.conf.d/cloud.conf",
            f"[Manager]\nDefaultEnvironment=AWS_ENDPOINT_URL={CLOUD} AWS_EC2_METADATA_SERVICE_ENDPOINT={METADATA}\n",
        )
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"]
        self.console = open(self.root / "console.log", "wb")
        self.nspawn = subprocess.Popen(
            [*command, f"--directory={self.root}"],
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self.console,
            stderr=subprocess.STDOUT,
        )
        eventually("the machine has booted", 60, self.booted)
        return self

    def __exit__(self, *_):
        # Its first process takes all others with it, and nothing is asked to end in order.
        os.kill(int(self.leader), signal.SIGKILL)
        self.nspawn.kill()
        self.nspawn.wait()
        self.console.close()
        shutil.rmtree(self.root)

    def booted(self):
        children = pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children")
        if self.nspawn.poll() is not None:
            raise AssertionError((self.root / "console.log").read_text(errors="replace"))
        pids = children.read_text().split()
        if not pids:
            return False
        self.leader = pids[0]
        state = self.run("systemctl", "is-system-running", check=False)
        return state.stdout.strip() in ("running", "degraded")

    def run(self, *command, check=True):
        inside = ["nsenter", f"--target={self.leader}", "--all", "--", *command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def files(self):
        """Everything but what runs, logs, and the package manager's own."""
        found = self.run("find", "/", "-xdev", "-not", "-path", "/tmp/*", "-not", "-path", "/run/*").stdout.split("\n")
        own = ("/var/log", "/var/lib/dpkg", "/var/cache", "/console.log", "/proc", "/sys", "/dev", "/run", "/tmp")
        # Copies that whoever changes users leaves behind.
        kept = {"/etc/.pwd.lock"} | {f"/etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")}
        return {name for name in found if name and not name.startswith(own) and name not in kept}

    def unit(self, name, *properties):
        told = self.run("systemctl", "show", name, *(f"--property={property}" for property in properties)).stdout
        return dict(line.split("=", 1) for line in told.splitlines())

    def journal(self, unit):
        return self.run("journalctl", f"--unit={unit}", "--output=cat").stdout


def health():
    with contextlib.suppress(*AWAY), urllib.request.urlopen("http://127.0.0.1:9180/healthz", timeout=5) as answer:
        return answer.status == 200


class Package(unittest.TestCase):
    """The `.deb` on Debian 12."""

    def test_it_is_installed_started_drained_and_removed_and_leaves_nothing(self):
        with Machine() as machine:
            users = {name: machine.run("getent", name).stdout for name in ("passwd", "group")}
            before = machine.files()
            shutil.copy(only("*.deb"), machine.root / "skyferry.deb")
            machine.run("dpkg", "--install", "/skyferry.deb")
            (machine.root / "skyferry.deb").unlink()
            machine.run("systemd-analyze", "verify", "skyferry-agent.service", "skyferry-scan.timer", "skyferry-ec2.timer")
            self.assertEqual(machine.unit("skyferry-agent", "ActiveState")["ActiveState"], "inactive", "nothing starts by itself")

            # Without settings it says so, and goes on trying.
            machine.run("systemctl", "enable", "--now", "skyferry-agent")
            eventually("it says what is missing", 10, lambda: "agent.toml" in machine.journal("skyferry-agent"))
            self.assertEqual(machine.unit("skyferry-agent", "ActiveState")["ActiveState"], "activating")

            machine.run("mkdir", "/srv/from")
            machine.write(
                "etc/skyferry/agent.toml",
                '[source]\nkind = "directory"\npath = "/srv/from"\n'
                '[destination]\nkind = "directory"\npath = "/var/lib/skyferry/to"\nbucket = "b"\n'
                '[queue]\nkind = "embedded"\npath = "/var/lib/skyferry/skyferry.db"\n'
                '[ledger]\nkind = "embedded"\npath = "/var/lib/skyferry/skyferry.db"\n',
            )
            machine.run("mkdir", "/var/lib/skyferry/to")
            machine.run("chown", "skyferry:skyferry", "/var/lib/skyferry/to")
            machine.run("systemctl", "restart", "skyferry-agent")
            eventually("it answers, within its walls", 20, health)

            pid = machine.unit("skyferry-agent", "MainPID")["MainPID"]
            machine.run("systemctl", "kill", "--signal=KILL", "skyferry-agent")
            eventually(
                "it is started again after a crash", 30,
                lambda: machine.unit("skyferry-agent", "MainPID")["MainPID"] not in ("0", pid) and health(),
            )  # fmt: skip

            # As a notice of the machine's end does: it drains and exits with 143.
            machine.run("systemctl", "kill", "--signal=TERM", "skyferry-agent")
            eventually("it is out", 25, lambda: machine.unit("skyferry-agent", "MainPID")["MainPID"] == "0")
            ended = machine.unit("skyferry-agent", "ExecMainStatus", "ActiveState", "Result")
            self.assertEqual(ended, {"ExecMainStatus": "143", "ActiveState": "inactive", "Result": "success"})

            machine.run("systemctl", "start", "skyferry-agent")
            machine.run("dpkg", "--purge", "skyferry")
            self.assertFalse(health(), "removing it ends it")
            machine.run("rmdir", "/srv/from")
            self.assertEqual(machine.files() ^ before, set())
            self.assertEqual(users, {name: machine.run("getent", name).stdout for name in ("passwd", "group")})

    def test_the_network_s_values_are_taken_by_a_kernel(self):
        subprocess.run(["/lib/systemd/systemd-sysctl", PACKAGE.absolute() / "sysctl.conf"], check=False, capture_output=True)
        control = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
        self.assertEqual(control, "bbr")


class Metadata(http.server.BaseHTTPRequestHandler):
    """ministack's metadata service, and what it does not know: what the group wants of the machine."""

    target = "InService"

    def do_GET(self):
        if self.path.endswith("/autoscaling/target-lifecycle-state"):
            return self.say(200, self.target.encode())
        passed = {name: value for name, value in self.headers.items() if name.lower().startswith("x-aws-")}
        request = urllib.request.Request(CLOUD + self.path, method=self.command, headers=passed)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                self.say(answer.status, answer.read())
        except urllib.error.HTTPError as refused:
            self.say(refused.code, refused.read())

    do_PUT = do_GET

    def say(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "300")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def client(service):
    return boto3.client(
        service, endpoint_url=CLOUD, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )


def template():
    """Without the alarms that calculate, which ministack does not know. All else is deployed as it stands."""
    whole, problems = decode("deploy-ec2/skyferry.yaml")
    assert not problems, problems
    calculate = {name for name, one in whole["Resources"].items() if one["Type"].endswith("::Alarm") and "Metrics" in one["Properties"]}
    assert calculate == {"NobodyThere", "OldestMessageAlarm", "NoProgressAlarm", "BatchAlarm"}, calculate
    whole["Resources"] = {name: one for name, one in whole["Resources"].items() if name not in calculate}
    return json.dumps(whole)


class Fleet(unittest.TestCase):
    """The template on ministack, and the user data that it makes on a machine."""

    @classmethod
    def setUpClass(cls):
        environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": "4566", "MINISTACK_REGION": REGION}
        environment["MINISTACK_IMDS_V2_REQUIRED"] = "1"
        program = pathlib.Path(os.environ["SKYFERRY_PEERS"]) / "bin/ministack"
        cls.log = open(DEPLOY / "ministack.log", "wb")
        cls.ministack = subprocess.Popen([program], env=environment, stdout=cls.log, stderr=subprocess.STDOUT)
        cls.addClassCleanup(cls.end)
        eventually("ministack answers", 60, cls.answers)
        metadata = http.server.ThreadingHTTPServer(("127.0.0.1", 4567), Metadata)
        threading.Thread(target=metadata.serve_forever, daemon=True).start()
        cls.addClassCleanup(metadata.server_close)
        cls.addClassCleanup(metadata.shutdown)
        for bucket in ("photos", "copies", "packages"):
            client("s3").create_bucket(Bucket=bucket)
        package = only("*.tar.gz").read_bytes()
        client("s3").put_object(Bucket="packages", Key="skyferry.tar.gz", Body=package)
        cls.sum = hashlib.sha256(package).hexdigest()
        key = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region": REGION}
        client("ssm").put_parameter(Name="s3_migration_credentials", Type="SecureString", Value=json.dumps(key))

    @classmethod
    def end(cls):
        cls.ministack.terminate()
        cls.ministack.wait()
        cls.log.close()

    @staticmethod
    def answers():
        with contextlib.suppress(*AWAY), urllib.request.urlopen(f"{CLOUD}/_ministack/health", timeout=5):
            return True

    def create(self, name, **different):
        """The stack, as far as its first machine has to go on: that one's user data."""
        parameters = {
            "SourceBucket": "photos", "DestinationKind": "s3", "DestinationBucket": "copies", "DestinationRegion": REGION,
            "DestinationPrefix": "backup", "PackageUrl": "s3://packages/skyferry.tar.gz", "PackageSha256": self.sum,
            "Email": "somebody@example.com", **different,
        }  # fmt: skip
        client("cloudformation").create_stack(
            StackName=name,
            TemplateBody=template(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
            DisableRollback=True,
        )
        templates = lambda: self.status(name)[0] != "CREATE_IN_PROGRESS" or self.templates(name)
        if eventually("the launch template is there", 30, templates) is True:
            raise AssertionError(self.status(name))
        versions = client("ec2").describe_launch_template_versions(LaunchTemplateId=templates())
        data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]
        return base64.b64decode(data).decode()

    @staticmethod
    def templates(name):
        resources = client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        group = [r for r in resources if r["LogicalResourceId"] == "Agents" and r["ResourceStatus"] == "CREATE_COMPLETE"]
        return group and next(r["PhysicalResourceId"] for r in resources if r["LogicalResourceId"] == "Machine")

    @staticmethod
    def status(name):
        """And the reasons that the events give."""
        stack = client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        events = client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
        return stack["StackStatus"], " ".join(event.get("ResourceStatusReason", "") for event in events)

    def boot(self, machine, data):
        """Runs the user data as cloud-init does."""
        machine.write("var/lib/user-data", data)
        command = ["systemd-run", "--unit=cloud-final", "--wait", "--quiet", "--property=Type=oneshot"]
        return machine.run(*command, "bash", "/var/lib/user-data", check=False).returncode

    def lines(self, group):
        logs, found = client("logs"), []
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
            told = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
            found += [event["message"] for event in told["events"]]
        return found

    def test_a_notification_travels_through_the_stack_to_the_agent_and_the_object_across(self):
        data = self.create("fleet")
        with Machine() as machine:
            code = self.boot(machine, data)
            self.assertEqual(code, 0, machine.journal("cloud-final"))
            eventually("the stack is complete", 30, lambda: self.status("fleet")[0] == "CREATE_COMPLETE")
            outputs = client("cloudformation").describe_stacks(StackName="fleet")["Stacks"][0]["Outputs"]
            outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}

            events = [{"QueueArn": outputs["QueueArn"], "Events": ["s3:ObjectCreated:*"]}]
            s3 = client("s3")
            s3.put_bucket_notification_configuration(
                Bucket="photos", NotificationConfiguration={"QueueConfigurations": events}
            )
            s3.put_object(Bucket="photos", Key="a b/ü.txt", Body=b"hello")

            def copy():
                with contextlib.suppress(s3.exceptions.ClientError):
                    return s3.get_object(Bucket="copies", Key="backup/a b/ü.txt")["Body"].read()

            self.assertEqual(eventually("the object arrives", 60, copy), b"hello")
            record = client("dynamodb").get_item(TableName=outputs["TableName"], Key={"Key": {"S": "photos/a b/ü.txt"}})
            self.assertEqual(record["Item"]["sfOutcome"]["S"], "copied")

            # Nobody elected it: it is not the first of its group, which has none of its name.
            machine.run("systemctl", "start", "skyferry-scan")
            self.assertEqual(machine.unit("skyferry-scan", "Result")["Result"], "exec-condition", "others scan")

            # The group takes the machine out: the agent sees it, drains, and the machine says that it may go.
            self.addCleanup(setattr, Metadata, "target", "InService")
            Metadata.target = "Terminated"
            eventually("it is out", 35, lambda: machine.unit("skyferry-agent", "MainPID")["MainPID"] == "0")
            ended = machine.unit("skyferry-agent", "ExecMainStatus", "Result")
            self.assertEqual(ended, {"ExecMainStatus": "143", "Result": "success"})

            # What its timer does twice a minute. The log's lines, and among them the metrics, without any other agent.
            machine.run("systemctl", "start", "skyferry-ec2")
            self.assertIn("the agent has drained: this machine may go", machine.journal("skyferry-ec2"))
            self.assertNotIn("error", machine.journal("skyferry-ec2"))
            lines = self.lines(outputs["LogGroup"])
            metrics = [json.loads(line) for line in lines if '"CloudWatchMetrics"' in line]
            self.assertEqual((sum(one["copied"] for one in metrics), metrics[-1]["Queue"]), (1, outputs["QueueName"]))
            self.assertTrue(any("route: photos" in line for line in lines), lines)
            self.assertNotIn("aws_secret_access_key", " ".join(lines))
            # Had the group not asked for it, the machine would be of no use.
            Metadata.target = "InService"
            for _ in range(6):
                machine.run("systemctl", "start", "skyferry-ec2")
            self.assertIn("this machine is told to be unhealthy", machine.journal("skyferry-ec2"))
            sent = self.lines(outputs["LogGroup"])
            self.assertEqual(len([line for line in sent if "route: photos" in line]), 1, "no line goes twice")

    def test_a_package_with_a_wrong_hash_is_not_installed_and_everybody_is_told(self):
        wrong = "0" * 64
        data = self.create("wrong", PackageSha256=wrong)
        with Machine() as machine:
            before = machine.files()
            self.assertEqual(self.boot(machine, data), 1)
            changed = machine.files() ^ before
            self.assertEqual({name for name in changed if "skyferry" in name}, set())
        eventually("the stack has failed", 30, lambda: self.status("wrong")[0] == "CREATE_FAILED")
        said = f"has the SHA-256 {self.sum} and not {wrong}: nothing was installed; correct PackageSha256"
        self.assertIn(said, self.status("wrong")[1])
        self.assertIn(said, " ".join(self.lines("/skyferry/wrong")))

    def test_an_agent_without_its_secret_says_what_to_do(self):
        data = self.create("keyless", CredentialsParameter="/forgotten/key")
        with Machine() as machine:
            self.assertEqual(self.boot(machine, data), 1)
            self.assertFalse(health())
        eventually("the stack has failed", 30, lambda: self.status("keyless")[0] == "CREATE_FAILED")
        for told in (self.status("keyless")[1], " ".join(self.lines("/skyferry/keyless"))):
            self.assertIn("the agent does not start", told)
            self.assertIn("/forgotten/key", told)

    def test_a_template_without_a_bucket_is_refused(self):
        with self.assertRaises(client("cloudformation").exceptions.ClientError) as refused:
            self.create("nothing", SourceBucket="")
        self.assertIn("SourceBucket", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
