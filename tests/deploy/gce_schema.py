#!/usr/bin/env python3
"""Reads every .tf of deploy-gce and holds it against what the providers publish: every resource type, argument, nested block
and reference exists, what is required is given, and the modules fit together. Terraform itself does this in `validate`; its
providers are not to be had from any package registry, but bindings with the same names are.

    gce_schema.py PROVIDERS DIRECTORY...      PROVIDERS: where the bindings are unpacked, one directory a provider

Exit 0: nothing is wrong; 1: something is, a line each.
"""

import re
import sys
from functools import cache
from pathlib import Path

import hcl2

META = {"count", "for_each", "depends_on", "provider", "lifecycle", "provisioner", "connection", "dynamic"}
LIFECYCLE = {"create_before_destroy", "prevent_destroy", "ignore_changes", "replace_triggered_by", "precondition", "postcondition"}
OURS = {"__is_block__", "__comments__", "__inline_comments__"}


class Field:
    def __init__(self, name, optional, kind, documentation):
        self.name, self.required, self.kind = name, not optional, kind
        self.block = re.search(rf"\b{name} block\b", documentation) is not None
        self.many = "[]" in kind


class Schema:
    """One resource type or data source, as the bindings declare it."""

    MEMBER = re.compile(r"/\*\*(?P<doc>(?:(?!\*/).)*?)\*/\s*readonly (?P<camel>\w+)(?P<optional>\??): (?P<kind>[^;]+(?:\{[^}]*\}[^;]*)?);", re.S)
    INTERFACE = re.compile(r"^export interface (\w+)[^{]*\{\n(.*?)^\}", re.S | re.M)

    def __init__(self, text):
        self.version = re.search(r"hashicorp/\w+/([0-9.]+)/", text).group(1)
        self.interfaces = {name: self.members(body) for name, body in self.INTERFACE.findall(text)}
        self.top = self.interfaces[next(name for name in self.interfaces if name.endswith("Config"))]
        self.read = {snake(name) for name in re.findall(r"^    get (\w+)\(\)", text, re.M)}

    def members(self, body):
        found = {}
        for member in self.MEMBER.finditer(body):
            name = re.search(r"#(\w+) \w+#\1\}", member["doc"])
            name = name.group(1) if name else snake(member["camel"])
            found[name] = Field(name, member["optional"], member["kind"], member["doc"])
        return found

    def inside(self, field):
        name = next((word for word in re.findall(r"\w+", field.kind) if word in self.interfaces), None)
        return self.interfaces[name] if name else None


def snake(camel):
    return re.sub(r"([A-Z])", lambda match: "_" + match.group(1).lower(), camel)


def plain(text):
    return text.strip('"') if isinstance(text, str) else text


class Check:
    def __init__(self, providers):
        self.providers, self.findings, self.checked, self.versions = Path(providers), [], 0, {}

    def wrong(self, at, text):
        self.findings.append(f"{at}: {text}")

    @cache
    def schema(self, kind, data):
        provider, _, rest = kind.partition("_")
        name = f"data-{kind}" if data else rest
        file = self.providers / provider / "package/lib" / name.replace("_", "-") / "index.d.ts"
        if not file.is_file():
            return None
        text = file.read_text()
        if f'tfResourceType = "{kind}"' not in text:
            return None
        schema = Schema(text)
        self.versions[provider] = schema.version
        return schema

    def body(self, at, schema, fields, given):
        """Arguments and blocks of one level."""
        dynamic = {plain(name): value for block in given.get("dynamic", []) for name, value in block.items() if name not in OURS}
        for name, value in given.items():
            if name in OURS or name in META:
                continue
            self.checked += 1
            field = fields.get(name)
            if field is None:
                self.wrong(at, f"there is no {name} (there are {', '.join(sorted(fields))})")
                continue
            blocks = value if isinstance(value, list) and all(isinstance(one, dict) and "__is_block__" in one for one in value) and value else None
            if (blocks is not None) != field.block:
                self.wrong(at, f"{name} is {'a block' if field.block else 'an argument'}: write it as one")
            elif blocks is not None:
                if len(blocks) > 1 and not field.many:
                    self.wrong(at, f"{name} may be there once")
                for block in blocks:
                    self.body(f"{at}.{name}", schema, schema.inside(field), block)
            else:
                self.literal(at, field, value)
        for name, block in dynamic.items():
            if name not in fields or not fields[name].block:
                self.wrong(at, f"there is no block {name}")
                continue
            for content in block["content"]:
                self.body(f"{at}.{name}", schema, schema.inside(fields[name]), content)
        for name, field in fields.items():
            if field.required and name not in given and name not in dynamic:
                self.wrong(at, f"{name} is required")

    def literal(self, at, field, value):
        """What can be told of a value that is written out. Numbers and texts are converted into each other."""
        is_list = isinstance(value, list)
        takes_map = "[key: string]" in field.kind
        if is_list != field.many and not (isinstance(value, str) and value.startswith("${")):
            self.wrong(at, f"{field.name} is {'a list' if field.many else 'no list'}")
        if isinstance(value, dict) and not takes_map:
            self.wrong(at, f"{field.name} is no map")
        if isinstance(value, bool) and "boolean" not in field.kind and "string" not in field.kind:
            self.wrong(at, f"{field.name} is no boolean")

    def module(self, directory):
        files = {file: hcl2.loads(file.read_text()) for file in sorted(directory.glob("*.tf"))}
        known = Module(directory, files)
        for file, tree in files.items():
            for section, data in (("resource", False), ("data", True)):
                for entry in tree.get(section, []):
                    for kind, named in entry.items():
                        if kind in OURS:
                            continue
                        for name, body in named.items():
                            self.resource(f"{file}: {plain(kind)}.{plain(name)}", plain(kind), data, body)
            self.references(file, known)
        for at, name, source, inputs in known.calls:
            other = known.called[name]
            for given in inputs - set(other.variables):
                self.wrong(at, f"module {source} has no variable {given}")
            for needed in {variable for variable, required in other.variables.items() if required} - inputs:
                self.wrong(at, f"module {source} needs {needed}")
        for provider, constraint in known.providers.items():
            if provider in self.versions:
                major = self.versions[provider].split(".")[0]
                if not re.search(rf"(~> |>= ){major}\.", constraint):
                    self.wrong(directory, f"{provider} {constraint} is not what is checked: {self.versions[provider]}")

    def resource(self, at, kind, data, body):
        schema = self.schema(kind, data)
        if schema is None:
            self.wrong(at, "no such resource type")
            return
        self.body(at, schema, schema.top, body)
        for block in body.get("lifecycle", []):
            for name in set(block) - LIFECYCLE - OURS:
                self.wrong(at, f"lifecycle has no {name}")

    def references(self, file, known):
        text = re.sub(r"^\s*#.*$", "", file.read_text(), flags=re.M)
        for data, kind, name, attribute in re.findall(r"(data\.)?\b((?:google|aws)_\w+)\.(\w+)(?:\[[^\]]*\])?(?:\.(\w+))?", text):
            if (bool(data), kind, name) not in known.resources:
                self.wrong(file, f"{data}{kind}.{name} is not declared")
                continue
            schema = self.schema(kind, bool(data))
            if attribute and schema and attribute not in schema.read and attribute not in schema.top:
                self.wrong(file, f"{kind} has no {attribute}")
        for prefix, names in (("var", known.variables), ("local", known.locals)):
            for name in set(re.findall(rf"\b{prefix}\.(\w+)", text)) - set(names):
                self.wrong(file, f"{prefix}.{name} is not declared")
        for module, output in re.findall(r"\bmodule\.(\w+)\.(\w+)", text):
            if module not in known.called or output not in known.called[module].outputs:
                self.wrong(file, f"module.{module} has no output {output}")
        for path in re.findall(r'\b(?:file|templatefile)\("\$\{path\.module\}/([^"]+)"', text):
            if not (file.parent / path).is_file():
                self.wrong(file, f"{path} is not there")


class Module:
    """What a directory declares."""

    def __init__(self, directory, files):
        self.variables, self.locals, self.outputs, self.resources = {}, set(), set(), set()
        self.called, self.calls, self.providers = {}, [], {}
        for file, tree in files.items():
            for entry in tree.get("variable", []):
                self.variables.update({plain(name): "default" not in body for name, body in entry.items() if name not in OURS})
            for entry in tree.get("locals", []):
                self.locals |= set(entry) - OURS
            for entry in tree.get("output", []):
                self.outputs |= {plain(name) for name in entry if name not in OURS}
            for section, data in (("resource", False), ("data", True)):
                for entry in tree.get(section, []):
                    self.resources |= {(data, plain(kind), plain(name)) for kind, named in entry.items() if kind not in OURS for name in named}
            for entry in tree.get("module", []):
                for name, body in entry.items():
                    if name in OURS:
                        continue
                    source = (directory / plain(body["source"])).resolve()
                    self.called[plain(name)] = Module(source, {one: hcl2.loads(one.read_text()) for one in source.glob("*.tf")})
                    self.calls.append((file, plain(name), source.name, set(body) - OURS - META - {"source", "version", "providers"}))
            for entry in tree.get("terraform", []):
                for block in entry.get("required_providers", []):
                    self.providers |= {name: plain(value["version"]) for name, value in block.items() if name not in OURS}


def main():
    check = Check(sys.argv[1])
    for directory in map(Path, sys.argv[2:]):
        check.module(directory)
    for finding in check.findings:
        print(finding, file=sys.stderr)
    versions = ", ".join(f"{provider} {version}" for provider, version in sorted(check.versions.items()))
    print(f"{check.checked} arguments and blocks against {versions}: {len(check.findings)} wrong", file=sys.stderr)
    if check.checked < 100:
        sys.exit("that few cannot be all")
    sys.exit(1 if check.findings else 0)


if __name__ == "__main__":
    main()
