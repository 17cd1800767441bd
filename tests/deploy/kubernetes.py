"""deploy-k8s as a cluster gets it: every overlay rendered, each resource held to the schema of its kind, and what the manifests
promise. Kustomize itself is in no package registry: what the overlays use of it is done here, and held to `kubectl` where a
machine has it. Kubernetes' own kinds are checked by their published schemas; of what KEDA and Prometheus' operator bring, by the
tables below."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest

import kubernetes_validate
import yaml

ROOT = pathlib.Path("deploy-k8s")
OVERLAYS = ("gke", "eks")
# The oldest and the newest that are supported by the clouds now.
VERSIONS = ("1.31", "1.37")
BINARIES = pathlib.Path(os.environ["BINARIES"])

# Fields and types after the custom resource definitions of KEDA (v1alpha1) and Prometheus' operator (v1): those of use here. A
# name in capitals at its end must be there; a dictionary is an object, a list of one is a list of such, STRINGS any names.
STRINGS = {"": str}
TABLES = {
    ("keda.sh/v1alpha1", "ScaledObject"): {
        "scaleTargetRef!": {"name!": str, "kind": str, "apiVersion": str, "envSourceContainerName": str},
        "pollingInterval": int, "cooldownPeriod": int, "initialCooldownPeriod": int, "idleReplicaCount": int,
        "minReplicaCount": int, "maxReplicaCount": int, "fallback": {"failureThreshold!": int, "replicas!": int},
        "triggers!": [{"type!": str, "name": str, "metadata!": STRINGS, "useCachedMetrics": bool, "metricType": str,
                       "authenticationRef": {"name!": str, "kind": str}}],
    },
    ("keda.sh/v1alpha1", "TriggerAuthentication"): {
        "podIdentity": {"provider!": str, "identityId": str, "roleArn": str, "identityOwner": str},
        "secretTargetRef": [{"parameter!": str, "name!": str, "key!": str}],
        "env": [{"parameter!": str, "name!": str, "containerName": str}],
    },
    ("monitoring.coreos.com/v1", "ServiceMonitor"): {
        "jobLabel": str, "selector!": {"matchLabels": STRINGS}, "namespaceSelector": {"any": bool, "matchNames": [str]},
        "endpoints!": [{"port": str, "path": str, "scheme": str, "interval": str, "scrapeTimeout": str, "honorLabels": bool}],
    },
    ("monitoring.coreos.com/v1", "PrometheusRule"): {
        "groups": [{"name!": str, "interval": str, "rules": [{"alert": str, "record": str, "expr!": str, "for": str, "labels": STRINGS,
                                                              "annotations": STRINGS}]}],
    },
}  # fmt: skip
# Of KEDA's scaler for SQS.
SQS = {"queueURL", "awsRegion", "queueLength", "activationQueueLength", "scaleOnInFlight", "scaleOnDelayed", "awsEndpoint", "identityOwner"}


def wrong(value, table, at):
    """What of a value is not as the table has it."""
    if isinstance(table, list):
        if not isinstance(value, list):
            return [f"{at} is not a list"]
        return [line for n, one in enumerate(value) for line in wrong(one, table[0], f"{at}[{n}]")]
    if isinstance(table, type):
        return [] if type(value) is table else [f"{at} is not of the type {table.__name__}"]
    if not isinstance(value, dict):
        return [f"{at} is not an object"]
    if table is STRINGS:
        return [line for key, one in value.items() for line in wrong(one, str, f"{at}.{key}")]
    known = {name.rstrip("!"): kind for name, kind in table.items()}
    found = [f"{at} has no {name[:-1]}" for name in table if name.endswith("!") and name[:-1] not in value]
    for key, one in value.items():
        found += wrong(one, known[key], f"{at}.{key}") if key in known else [f"there is no {at}.{key}"]
    return found


def documents(file):
    return [one for one in yaml.safe_load_all(file.read_text()) if one]


def merged(base, patch):
    """A strategic merge of what is patched here: objects, and lists that are replaced."""
    if not (isinstance(base, dict) and isinstance(patch, dict)):
        return patch
    return {**base, **{key: merged(base.get(key), value) for key, value in patch.items()}}


def identity(resource):
    return resource["apiVersion"], resource["kind"], resource["metadata"]["name"]


def rendered(folder):
    (settings,) = documents(folder / "kustomization.yaml")
    resources = {}
    for name in settings.pop("resources"):
        at = folder / name
        for one in rendered(at) if at.is_dir() else documents(at):
            assert identity(one) not in resources, f"{identity(one)} comes twice"
            resources[identity(one)] = one
    for patch in settings.pop("patches", []):
        for one in documents(folder / patch["path"]):
            resources[identity(one)] = merged(resources[identity(one)], one)
    for generated in settings.pop("configMapGenerator", []):
        data = {name: (folder / name).read_text() for name in generated["files"]}
        one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generated["name"]}, "data": data}
        resources[identity(one)] = one
    namespace = settings.pop("namespace", None)
    for one in resources.values():
        if namespace and one["kind"] != "Namespace":
            one["metadata"]["namespace"] = namespace
    assert settings.keys() == {"apiVersion", "kind"}, f"not known here: {settings}"
    return list(resources.values())


def faults(resources):
    """All that schemas and tables find."""
    found = []
    for one in resources:
        table = TABLES.get((one["apiVersion"], one["kind"]))
        if table:
            found += wrong(one["spec"], table, one["kind"])
            found += [f"{one['kind']}: no such field of SQS' trigger: {name}" for trigger in one["spec"].get("triggers", [])
                      if isinstance(trigger.get("metadata"), dict) for name in trigger["metadata"].keys() - SQS]  # fmt: skip
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                found.append(f"{one['kind']} {one['metadata']['name']} for {version}: {error}")
    return found


def pods(resources):
    for one in resources:
        if one["kind"] == "Deployment":
            yield one["spec"]["template"]["spec"]
        elif one["kind"] == "CronJob":
            yield one["spec"]["jobTemplate"]["spec"]["template"]["spec"]


class Kubernetes(unittest.TestCase):
    def test_every_resource_is_as_its_kind_wants_it(self):
        for overlay in OVERLAYS:
            self.assertEqual(faults(rendered(ROOT / overlay)), [], overlay)

    def test_what_is_wrong_is_found(self):
        changes = (
            ("agent.yaml", "terminationGracePeriodSeconds: 35", "terminationGracePeriod: 35", "terminationGracePeriod"),
            ("agent.yaml", "maxUnavailable: 50%", "maxUnavailabel: 50%", "maxUnavailabel"),
            ("scan.yaml", "backoffLimit: 1", "backoffLimit: once", "once"),
            ("scaling.yaml", "maxReplicaCount: 20", 'maxReplicaCount: "20"', "ScaledObject.maxReplicaCount is not of the type int"),
            ("scaling.yaml", "queueLength:", "queuelength:", "queuelength"),
            ("monitoring.yaml", "path: /metrics", "paths: /metrics", "there is no ServiceMonitor.endpoints[0].paths"),
        )
        for name, text, other, finding in changes:
            with self.subTest(finding), tempfile.TemporaryDirectory() as folder:
                shutil.copytree(ROOT, folder, dirs_exist_ok=True)
                file = pathlib.Path(folder) / "base" / name
                self.assertIn(text, file.read_text())
                file.write_text(file.read_text().replace(text, other))
                self.assertIn(finding, "\n".join(faults(rendered(pathlib.Path(folder) / "gke"))))

    def test_pods_are_confined_have_time_to_stop_and_run_this_version(self):
        version = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["workspace"]["package"]["version"]
        for overlay in OVERLAYS:
            for pod in pods(rendered(ROOT / overlay)):
                self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], 25 + 5)
                context = pod["securityContext"]
                self.assertTrue(context["runAsNonRoot"] and context["seccompProfile"] == {"type": "RuntimeDefault"})
                (container,) = pod["containers"]
                self.assertTrue(container["image"].endswith(f"/skyferry:{version}"), container["image"])
                wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
                self.assertEqual(container["securityContext"], wanted)

    def test_names_agree_between_resources(self):
        for overlay in OVERLAYS:
            by_kind = {one["kind"]: one for one in rendered(ROOT / overlay)}
            labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]
            for selector in (
                by_kind["Deployment"]["spec"]["selector"]["matchLabels"], by_kind["Service"]["spec"]["selector"],
                by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
            ):  # fmt: skip
                self.assertLessEqual(selector.items(), labels.items())
            watched = by_kind["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
            self.assertLessEqual(watched.items(), by_kind["Service"]["metadata"]["labels"].items())
            scaled = by_kind["ScaledObject"]["spec"]
            self.assertEqual(scaled["scaleTargetRef"]["name"], by_kind["Deployment"]["metadata"]["name"])
            (trigger,) = scaled["triggers"]
            self.assertEqual(trigger["authenticationRef"]["name"], by_kind["TriggerAuthentication"]["metadata"]["name"])
            for pod in pods(by_kind.values()):
                self.assertEqual(pod["serviceAccountName"], by_kind["ServiceAccount"]["metadata"]["name"])
                self.assertEqual(pod["volumes"][0]["configMap"]["name"], by_kind["ConfigMap"]["metadata"]["name"])

    def test_the_settings_are_an_agent_s(self):
        for overlay in OVERLAYS:
            command = [BINARIES / "skyferry-agent", "--config", ROOT / overlay / "agent.toml", "--print-config"]
            printed = tomllib.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            self.assertEqual(printed["status"]["listen"], "0.0.0.0:9180")

    @unittest.skipUnless(shutil.which("kubectl"), "what is rendered here is compared with kubectl's only where that is")
    def test_kustomize_renders_the_same(self):
        for overlay in OVERLAYS:
            command = ["kubectl", "kustomize", ROOT / overlay]
            made = subprocess.run(command, check=True, capture_output=True, text=True)
            self.assertNotIn("deprecated", made.stderr)
            # The name of a generated map ends in a hash of it.
            text = re.sub(r"(name: skyferry)-[a-z0-9]{10}$", r"\1", made.stdout, flags=re.M)
            theirs = {identity(one): one for one in yaml.safe_load_all(text)}
            self.assertEqual(theirs, {identity(one): one for one in rendered(ROOT / overlay)})


if __name__ == "__main__":
    unittest.main()
