"""deploy-ec2/serverless.yaml as CloudFormation makes it of ministack: what the functions get, that a settings file comes of the
parameters, that a second stack shares queue and table of the first, and that nothing is left."""

import contextlib
import io
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import tomllib
import unittest
import urllib.request
import zipfile

import boto3

TEMPLATE = pathlib.Path("deploy-ec2/serverless.yaml").read_text()
REGION = "us-east-1"
REQUIRED = {"SourceBucket": "photos", "DestinationBucket": "copies", "CodeBucket": "packages", "CodeKey": "function.zip"}


class Cloud:
    """A ministack; gone at the end."""

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory()
        variables = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port), "MINISTACK_REGION": REGION, "TMPDIR": self.folder.name}
        self.log = open(pathlib.Path(self.folder.name) / "log", "wb")
        program = pathlib.Path(os.environ["SKYFERRY_PEERS"]) / "bin/ministack"
        self.process = subprocess.Popen(
            [program], env={**os.environ, **variables, "IOT_MTLS_ENABLED": "0"}, cwd=self.folder.name,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_ministack/health"):
                return self
            time.sleep(0.1)
        raise AssertionError("ministack does not start")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()

    def client(self, service):
        key = {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"}
        return boto3.client(service, endpoint_url=f"http://127.0.0.1:{self.port}", region_name=REGION, **key)

    def stack(self, name, **parameters):
        """Its outputs."""
        formation = self.client("cloudformation")
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in {**REQUIRED, **parameters}.items()]
        formation.create_stack(StackName=name, TemplateBody=TEMPLATE, Parameters=given, Capabilities=["CAPABILITY_IAM"])
        stack = self.settled(formation, name)
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def settled(self, formation, name):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            stack = formation.describe_stacks(StackName=name)["Stacks"][0]
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                return stack
            time.sleep(0.2)
        raise AssertionError(f"{name} does not settle")

    def permitted(self, functions, name):
        """The statements of the policy that both functions share, by their ids."""
        role = functions.get_function_configuration(FunctionName=name)["Role"].rsplit("/", 1)[1]
        iam = self.client("iam")
        (attached,) = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        policy = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
        policy = json.loads(policy) if isinstance(policy, str) else policy
        return {statement["Sid"]: statement for statement in policy["Statement"]}

    def settings(self, outputs):
        parameter = self.client("ssm").get_parameter(Name=outputs["SettingsParameter"])
        return tomllib.loads(parameter["Parameter"]["Value"])


class Serverless(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cloud = cls.enterClassContext(Cloud())
        buckets = cls.cloud.client("s3")
        for bucket in ("photos", "copies", "packages"):
            buckets.create_bucket(Bucket=bucket)
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("bootstrap", "#!/bin/sh\n")
        buckets.put_object(Bucket="packages", Key="function.zip", Body=package.getvalue())

    def test_functions_get_what_they_need_and_the_stack_leaves_nothing(self):
        outputs = self.cloud.stack("alone", DestinationRegion="cn-northwest-1")
        functions = self.cloud.client("lambda")
        (mapping,) = functions.list_event_source_mappings(FunctionName=outputs["WorkerName"])["EventSourceMappings"]
        self.assertEqual(mapping["FunctionResponseTypes"], ["ReportBatchItemFailures"])
        self.assertEqual(mapping["EventSourceArn"], outputs["QueueArn"])
        for name, handler in ((outputs["WorkerName"], "worker"), (outputs["ScanName"], "scan")):
            function = functions.get_function_configuration(FunctionName=name)
            self.assertEqual((function["Handler"], function["Runtime"]), (handler, "provided.al2023"))
            self.assertEqual((function["MemorySize"], function["Timeout"]), (1024, 900))
            self.assertEqual(function["Architectures"], ["arm64"])
        self.assertNotIn("KmsKey", self.cloud.permitted(functions, outputs["WorkerName"]))
        queues = self.cloud.client("sqs")
        name = outputs["QueueArn"].rsplit(":", 1)[1]
        url = queues.get_queue_url(QueueName=name)["QueueUrl"]
        attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        self.assertGreaterEqual(int(attributes["VisibilityTimeout"]), 6 * 900)
        self.assertEqual(int(json.loads(attributes["RedrivePolicy"])["maxReceiveCount"]), 60)
        settings = self.cloud.settings(outputs)
        self.assertEqual((settings["queue"]["name"], settings["ledger"]["table"]), (name, outputs["TableName"]))
        self.assertEqual(settings["credentials"]["destination"], "ssm:s3_migration_credentials")
        self.assertEqual((settings["destination"]["kind"], settings["destination"]["region"]), ("s3", "cn-northwest-1"))
        filters = self.cloud.client("logs").describe_metric_filters(logGroupName=outputs["LogGroup"])["metricFilters"]
        metrics = sorted(one["metricTransformations"][0]["metricName"] for one in filters)
        wanted = ["Completed-bytes", "Downloading-bytes", "ERROR", "MaxMemoryUsed", "TIMEOUT", "Uploading-bytes", "WARNING"]
        self.assertEqual(metrics, wanted)
        formation = self.cloud.client("cloudformation")
        formation.delete_stack(StackName="alone")
        with contextlib.suppress(Exception):
            self.cloud.settled(formation, "alone")
        self.assertEqual(queues.list_queues(QueueNamePrefix="alone").get("QueueUrls", []), [])
        self.assertEqual(functions.list_event_source_mappings(EventSourceArn=outputs["QueueArn"])["EventSourceMappings"], [])
        self.assertNotIn(outputs["TableName"], self.cloud.client("dynamodb").list_tables()["TableNames"])

    def test_a_second_stack_uses_the_queue_and_the_table_of_the_first(self):
        first = self.cloud.stack("first")
        given = {"ExistingQueueArn": first["QueueArn"], "ExistingDeadLettersArn": first["DeadLettersArn"]}
        second = self.cloud.stack("second", ExistingTable=first["TableName"], ScanSchedule="off", **given)
        for name in ("QueueArn", "DeadLettersArn", "TableName"):
            self.assertEqual(first[name], second[name])
        self.assertEqual(self.cloud.settings(first)["queue"], self.cloud.settings(second)["queue"])
        self.assertEqual(self.cloud.client("sqs").list_queues(QueueNamePrefix="second").get("QueueUrls", []), [])

    def test_with_mode_get_the_key_reads_the_source(self):
        keys = [f"arn:aws:kms:{REGION}:000000000000:key/{name}" for name in ("of-the-parameter", "of-the-objects")]
        outputs = self.cloud.stack(
            "fetching", Mode="get", SourceRegion="cn-north-1", CredentialsParameter="/keys/china", Architecture="x86_64", KmsKey=",".join(keys)
        )
        functions = self.cloud.client("lambda")
        for name in (outputs["WorkerName"], outputs["ScanName"]):
            self.assertEqual(functions.get_function_configuration(FunctionName=name)["Architectures"], ["x86_64"])
            statement = self.cloud.permitted(functions, name)["KmsKey"]
            self.assertEqual((statement["Action"], statement["Resource"]), (["kms:Decrypt", "kms:GenerateDataKey"], keys))
        settings = self.cloud.settings(outputs)
        self.assertEqual(settings["credentials"]["source"], "ssm:/keys/china")
        self.assertEqual((settings["credentials"]["destination"], settings["source"]["region"]), ("instance", "cn-north-1"))


if __name__ == "__main__":
    unittest.main()
