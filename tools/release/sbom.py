"""What is compiled into the three programs, as SPDX 2.3: reads what `cargo metadata` says, and follows what is linked or runs
while it is built from the programs down. Tests' dependencies are not in a package, so not here."""

import datetime
import hashlib
import json
import os
import sys

PROGRAMS = ("skyferry-agent", "skyferry", "skyferry-lambda")


def reached(metadata):
    """The identities of all packages below the programs."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found = set()
    waiting = [package["id"] for package in metadata["packages"] if package["name"] in PROGRAMS]
    while waiting:
        identity = waiting.pop()
        if identity not in found:
            found.add(identity)
            waiting += [
                below["pkg"]
                for below in nodes[identity]["deps"]
                if any(kind["kind"] != "dev" for kind in below["dep_kinds"])
            ]
    return nodes, found


def reference(package):
    name = package["name"].replace("_", "-")
    return f"SPDXRef-{name}-{package['version'].replace('+', '-')}"


def described(package):
    own = package["source"] is None
    record = {
        "SPDXID": reference(package),
        "name": package["name"],
        "versionInfo": package["version"],
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        # Cargo's old way to say "or".
        "licenseDeclared": (package["license"] or "NOASSERTION").replace("/", " OR "),
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }
    if not own:
        record["externalRefs"] = [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:cargo/{package['name']}@{package['version']}",
            }
        ]
    return record


def main():
    version = sys.argv[1]
    metadata = json.load(sys.stdin)
    nodes, found = reached(metadata)
    packages = {p["id"]: p for p in metadata["packages"] if p["id"] in found}
    relations = [
        {
            "spdxElementId": reference(packages[identity]),
            "relationshipType": "DEPENDS_ON",
            "relatedSpdxElement": reference(packages[below["pkg"]]),
        }
        for identity in packages
        for below in nodes[identity]["deps"]
        if below["pkg"] in packages and any(kind["kind"] != "dev" for kind in below["dep_kinds"])
    ]
    relations += [
        {
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relationshipType": "DESCRIBES",
            "relatedSpdxElement": reference(package),
        }
        for package in packages.values()
        if package["name"] in PROGRAMS
    ]
    listed = sorted(map(described, packages.values()), key=lambda record: record["SPDXID"])
    sum_of_all = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
    made = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    json.dump(
        {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": f"skyferry-{version}",
            "documentNamespace": f"urn:skyferry:{version}:{sum_of_all}",
            "creationInfo": {"created": made.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: sbom.py"]},
            "packages": listed,
            "relationships": sorted(relations, key=lambda relation: list(relation.values())),
        },
        sys.stdout,
        indent=1,
    )
    print()


main()
