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

# Asked to end, a check takes its machines away first.
signal.signal(signal.SIGTERM, signal.default_int_handler)

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

    def __exit__(self, failed, *_):
        if failed:
            print(self.run("journalctl", "--output=cat", "--lines=60", check=False).stdout)
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
    known = {"NobodyThere", "OldMessages", "NothingLeft", "OldestMessageAlarm", "NoProgressAlarm", "BatchAlarm"}
    assert calculate == known, calculate
    whole["Resources"] = {name: one for name, one in whole["Resources"].items() if name not in calculate}
    return json.dumps(whole)


class Scaling(unittest.TestCase):
    """The steps of the template, taken as the group takes them: at each look what the step of the metric adds, after which the
    machines warm up."""

    MINUTE, WARM_UP = 60, 120

    @classmethod
    def setUpClass(cls):
        whole, problems = decode("deploy-ec2/skyferry.yaml")
        assert not problems, problems
        cls.parameters = {name: str(one.get("Default", "")) for name, one in whole["Parameters"].items()}
        cls.resources = whole["Resources"]

    def value(self, of):
        if isinstance(of, dict) and "Ref" in of:
            return self.parameters[of["Ref"]]
        if isinstance(of, dict):
            index, listed = of["Fn::Select"]
            return float(self.value(listed).split(",")[index])
        return of

    def steps(self, policy):
        for step in self.resources[policy]["Properties"]["StepAdjustments"]:
            lower = self.value(step.get("MetricIntervalLowerBound", float("-inf")))
            upper = self.value(step.get("MetricIntervalUpperBound", float("inf")))
            yield lower, upper, int(self.value(step["ScalingAdjustment"]))

    def added(self, policy, metric):
        return next(more for lower, upper, more in self.steps(policy) if lower <= metric < upper)

    def test_the_steps_touch_and_rise(self):
        for policy in ("ForMessages", "ForAge"):
            steps = list(self.steps(policy))
            self.assertEqual([one[1] for one in steps[:-1]], [one[0] for one in steps[1:]])
            self.assertEqual(sorted({one[2] for one in steps}), [one[2] for one in steps])
            self.assertEqual(self.resources[policy]["Properties"]["AdjustmentType"], "ChangeInCapacity")

    def test_916_large_files_are_copied_by_nine_machines_within_a_quarter_of_an_hour(self):
        # Each machine has eight in flight, of 1.3 GB at 100 MB/s altogether: one is done every 13 s.
        machines, waiting, busy, done, age = 1, 916.0, 0.0, 0, 0
        for second in range(0, 3 * 3600, self.MINUTE):
            if second % self.WARM_UP == 0:
                more = max(self.added("ForMessages", waiting), self.added("ForAge", age / 60 if waiting else 0))
                machines = min(machines + more, int(self.parameters["MostMachines"]))
            if second == 15 * 60:
                self.assertGreaterEqual(machines, 9)
            busy = min(8 * machines, waiting + busy)
            done += machines * self.MINUTE / 13
            waiting, age = max(0.0, 916 - done - busy), age + self.MINUTE
        self.assertGreater(done, 916)

    def test_a_few_objects_of_terabytes_get_more_machines_by_their_age(self):
        self.assertEqual(self.added("ForMessages", 40), 0)
        self.assertEqual([self.added("ForAge", minutes) for minutes in (9, 10, 30, 90)], [0, 1, 2, 4])


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
        for bucket in ("photos", "films", "copies", "packages"):
            client("s3").create_bucket(Bucket=bucket)
        package = only("*.tar.gz").read_bytes()
        client("s3").put_object(Bucket="packages", Key="skyferry.tar.gz", Body=package)
        cls.sum = hashlib.sha256(package).hexdigest()
        key = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region": REGION}
        client("ssm").put_parameter(Name="s3_migration_credentials", Type="SecureString", Value=json.dumps(key))

    @classmethod
    def end(cls):
        # Asked to end it may wait for connections of machines that are gone.
        cls.ministack.kill()
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

            # Of two machines whose timers fire, one scans.
            for _ in range(2):
                machine.run("systemctl", "start", "skyferry-scan")
            scans = machine.journal("skyferry-scan")
            self.assertEqual(scans.count("another scan of this fleet has just started"), 1, scans)

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
            of_machines, metrics = ([one for one in metrics if name in one] for name in ("Group", "Queue"))
            self.assertEqual({one["Group"] for one in of_machines}, {"fleet"})
            for one in of_machines:
                self.assertTrue(0 < one["memory_used_percent"] < 100 and 0 < one["disk_used_percent"] < 100, one)
                self.assertGreaterEqual(one["tcp_connections"], 0)
            self.assertEqual((sum(one["copied"] for one in metrics), metrics[-1]["Queue"]), (1, outputs["QueueName"]))
            self.assertTrue(any("route: photos" in line for line in lines), lines)
            self.assertNotIn("aws_secret_access_key", " ".join(lines))
            # Had the group not asked for it, the machine would be of no use.
            Metadata.target = "InService"
            for _ in range(6):
                machine.run("systemctl", "start", "skyferry-ec2")
            self.assertIn("this machine is reported as unhealthy", machine.journal("skyferry-ec2"))
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

    def text(self, bucket, key):
        """The object's content; None while it is not there."""
        s3 = client("s3")
        with contextlib.suppress(s3.exceptions.ClientError):
            return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()

    def outputs(self, name):
        eventually("the stack is complete", 30, lambda: self.status(name)[0] == "CREATE_COMPLETE")
        outputs = client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def allowed(self, name):
        """What the stack's machines may do: the resources of each action."""
        found = {}
        resources = client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        role = next(one["PhysicalResourceId"] for one in resources if one["LogicalResourceId"] == "Role")
        iam = client("iam")
        self.assertEqual(iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"], [])
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            document = json.loads(document) if isinstance(document, str) else document
            for statement in document["Statement"]:
                actions, where = statement["Action"], statement["Resource"]
                for action in [actions] if isinstance(actions, str) else actions:
                    found.setdefault(action, set()).update([where] if isinstance(where, str) else where)
        return found

    def send_events(self, bucket, queue):
        events = [{"QueueArn": queue, "Events": ["s3:ObjectCreated:*"]}]
        client("s3").put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": events}
        )

    def test_every_parameter_reaches_the_settings_the_role_and_the_services(self):
        s3, ssm = client("s3"), client("ssm")
        ssm.put_parameter(Name="/skyferry/ignore", Type="String", Value="*.tmp\n")
        pairs = [{"src_bucket": "films", "src_prefix": "", "des_bucket": "copies", "des_prefix": "paired"}]
        ssm.put_parameter(Name="pairs", Type="String", Value=json.dumps(pairs))
        data = self.create(
            "parameters",
            SourceBucket="photos,films", DestinationPrefix="every", StorageClass="STANDARD_IA", LogFormat="predecessor",
            KmsKey="arn:aws:kms:us-east-1:000000000000:key/a-b", IgnoreListParameter="/skyferry/ignore",
            BucketPairsParameter="pairs", ScanAt="hourly", Settings='[transfer]\npart_size = "8MiB"\ndeletes = true',
        )  # fmt: skip
        with Machine() as machine:
            code = self.boot(machine, data)
            self.assertEqual(code, 0, machine.journal("cloud-final"))
            outputs = self.outputs("parameters")
            said = machine.run("skyferry-agent", "--config", "/etc/skyferry/agent.toml", "--print-config").stdout
            for line in (
                'part_size = "8MiB"', "deletes = true", 'storage_class = "STANDARD_IA"', 'source_bucket = "photos"',
                'source_bucket = "films"', 'ignore_list = "ssm:/skyferry/ignore"', 'bucket_pairs = "ssm:pairs"',
            ):  # fmt: skip
                self.assertIn(line, said)
            timer = machine.unit("skyferry-scan.timer", "TimersCalendar", "ActiveState")
            self.assertIn("*-*-* *:00:00", timer["TimersCalendar"])
            self.assertEqual(timer["ActiveState"], "active")

            for bucket in ("photos", "films"):
                self.send_events(bucket, outputs["QueueArn"])
                s3.put_object(Bucket=bucket, Key=f"of-{bucket}", Body=bucket.encode())
            s3.put_object(Bucket="photos", Key="a.tmp", Body=b"ignored")
            arrived = lambda: self.text("copies", "every/photos/of-photos") and self.text("copies", "every/films/of-films")
            eventually("of both buckets", 60, arrived)
            self.assertEqual(s3.head_object(Bucket="copies", Key="every/photos/of-photos").get("StorageClass"), "STANDARD_IA")
            job = {"Src_bucket": "films", "Src_key": "of-films", "Size": 5, "versionId": "null"}
            job |= {"Des_bucket": "copies", "Des_key": "paired/of-films"}
            queue = client("sqs").get_queue_url(QueueName=outputs["QueueName"])["QueueUrl"]
            client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(job))
            eventually("by a bucket pair", 60, lambda: self.text("copies", "paired/of-films"))
            self.assertIsNone(self.text("copies", "every/photos/a.tmp"))
            self.assertIn("--->Complete", machine.journal("skyferry-agent"))

        allowed = self.allowed("parameters")
        self.assertEqual(allowed["kms:Decrypt"], {"arn:aws:kms:us-east-1:000000000000:key/a-b"})
        self.assertEqual(allowed["s3:ListBucket"], {"arn:aws:s3:::photos", "arn:aws:s3:::films"})
        objects = {"arn:aws:s3:::photos/*", "arn:aws:s3:::films/*", "arn:aws:s3:::packages/skyferry.tar.gz"}
        self.assertEqual(allowed["s3:GetObject"], objects)
        parameter = "arn:aws:ssm:us-east-1:000000000000:parameter/"
        names = ("s3_migration_credentials", "skyferry/ignore", "pairs")
        self.assertEqual(allowed["ssm:GetParameter"], {parameter + name for name in names})
        channels = {f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")}
        sessions = channels | {"ssm:UpdateInstanceInformation"}
        self.assertEqual({action for action, where in allowed.items() if action.startswith("ssm") and where == {"*"}}, sessions)
        self.assertNotIn("s3:PutObject", allowed)

        attributes = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        policy = json.loads(attributes["Policy"])["Statement"]
        self.assertIn({"Bool": {"aws:SecureTransport": "false"}}, [one["Condition"] for one in policy if one["Effect"] == "Deny"])
        sources = policy[0]["Condition"]["ArnEquals"]["aws:SourceArn"]
        self.assertEqual(set(sources), {"arn:aws:s3:::photos", "arn:aws:s3:::films"})
        dead = client("sqs").get_queue_url(QueueName=outputs["DeadLettersName"])["QueueUrl"]
        attributes = client("sqs").get_queue_attributes(QueueUrl=dead, AttributeNames=["All"])["Attributes"]
        self.assertEqual(json.loads(attributes["RedriveAllowPolicy"])["sourceQueueArns"], [outputs["QueueArn"]])
        self.assertIn("aws:SecureTransport", attributes["Policy"])

    def test_settings_are_read_from_s3_at_every_start_an_ini_of_the_earlier_programs_too(self):
        s3 = client("s3")
        ini = (
            "[Basic]\nJobType = PUT\ntable_queue_name = elsewhere\nsqs_queue_name = elsewhere\n"
            "ssm_parameter_credentials = s3_migration_credentials\n[Mode]\nStorageClass = STANDARD\n[Debug]\nChunkSize = 5\nLoggingLevel = INFO\n"
        )
        put = lambda text: s3.put_object(Bucket="packages", Key="settings/agent", Body=text.encode())
        put(ini)
        pairs = [{"src_bucket": "photos", "src_prefix": "", "des_bucket": "copies", "des_prefix": "from-ini"}]
        client("ssm").put_parameter(Name="s3_migration_bucket_para", Type="String", Value=json.dumps(pairs))
        data = self.create(
            "elsewhere", SettingsUrl="s3://packages/settings/agent", BucketPairsParameter="s3_migration_bucket_para"
        )
        with Machine() as machine:
            code = self.boot(machine, data)
            self.assertEqual(code, 0, machine.journal("cloud-final"))
            outputs = self.outputs("elsewhere")
            s3.put_bucket_notification_configuration(Bucket="photos", NotificationConfiguration={})
            s3.put_object(Bucket="photos", Key="one", Body=b"1")
            job = {"Src_bucket": "photos", "Src_key": "one", "Size": 1, "versionId": "null"}
            job |= {"Des_bucket": "copies", "Des_key": "from-ini/one"}
            queue = client("sqs").get_queue_url(QueueName=outputs["QueueName"])["QueueUrl"]
            client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(job))
            eventually("by a pair of the ini, from the stack's own queue", 60, lambda: self.text("copies", "from-ini/one"))
            record = client("dynamodb").get_item(TableName=outputs["TableName"], Key={"Key": {"S": "photos/one"}})
            self.assertEqual(record["Item"]["sfOutcome"]["S"], "copied")

            # What is wrong is not taken, and nothing stops.
            put("[destination\n")
            machine.run("systemctl", "restart", "skyferry-agent")
            eventually("it answers", 20, health)
            said = machine.journal("skyferry-agent")
            self.assertIn("s3://packages/settings/agent is not valid", said)
            self.assertIn("the agent continues with those of its last start", said)

            put(
                'mode = "put"\n[destination]\nkind = "s3"\nregion = "us-east-1"\nbucket = "copies"\nprefix = "from-toml"\n'
                '[[routes]]\nsource_bucket = "photos"\n'
            )
            machine.run("systemctl", "restart", "skyferry-agent")
            eventually("it answers", 20, health)
            self.send_events("photos", outputs["QueueArn"])
            s3.put_object(Bucket="photos", Key="two", Body=b"2")
            # The poll of the agent before may take the event with it, for as long as a delivery is invisible.
            eventually("as the new file has it", 180, lambda: self.text("copies", "from-toml/two"))
            mode = machine.run("stat", "--format=%U:%G %a", "/etc/skyferry/agent.toml").stdout.strip()
            self.assertEqual(mode, "root:skyferry 640")
        self.assertIn("arn:aws:s3:::packages/settings/agent", self.allowed("elsewhere")["s3:GetObject"])

    def test_in_mode_get_the_parameter_s_key_reads_and_the_role_writes_to_its_own_account(self):
        s3 = client("s3")
        data = self.create(
            "get", Mode="get", DestinationKind="gcs", DestinationRegion="", SourceRegion=REGION, DestinationPrefix="got",
            KmsKey="arn:aws:kms:us-east-1:000000000000:key/a-b", SourceAccount="123456789012", ScanAt="off",
        )  # fmt: skip
        with Machine() as machine:
            code = self.boot(machine, data)
            self.assertEqual(code, 0, machine.journal("cloud-final"))
            outputs = self.outputs("get")
            self.send_events("photos", outputs["QueueArn"])
            s3.put_object(Bucket="photos", Key="k", Body=b"k")
            eventually("it arrives", 60, lambda: self.text("copies", "got/k"))
            self.assertEqual(machine.unit("skyferry-scan.timer", "ActiveState")["ActiveState"], "inactive")
            said = machine.journal("skyferry-agent")
            self.assertIn("parameter", said)
        allowed = self.allowed("get")
        objects = {"arn:aws:s3:::copies/*"}
        for action in ("PutObject", "DeleteObject", "AbortMultipartUpload", "ListMultipartUploadParts"):
            self.assertEqual(allowed[f"s3:{action}"], objects, action)
        for action in ("ListBucket", "ListBucketMultipartUploads"):
            self.assertEqual(allowed[f"s3:{action}"], {"arn:aws:s3:::copies"}, action)
        self.assertIn("kms:GenerateDataKey", allowed)
        self.assertNotIn("s3:GetObjectVersion", allowed)

    def test_a_calendar_that_systemd_does_not_know_is_an_error_that_names_it(self):
        data = self.create("calendar", ScanAt="every full moon")
        with Machine() as machine:
            self.assertEqual(self.boot(machine, data), 1)
        eventually("the stack has failed", 30, lambda: self.status("calendar")[0] == "CREATE_FAILED")
        self.assertIn("ScanAt is neither off nor a time that systemd knows: every full moon", self.status("calendar")[1])

    def test_a_template_without_a_bucket_is_refused(self):
        with self.assertRaises(client("cloudformation").exceptions.ClientError) as refused:
            self.create("nothing", SourceBucket="")
        self.assertIn("SourceBucket", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
