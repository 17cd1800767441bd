#!/usr/bin/env python3
"""Renders a template of deploy-gce as Terraform's templatefile does, as far as these templates go: ${name}, and lines of
%{ if name ~}, %{ else ~}, %{ endif ~}, %{ for name in list ~}, %{ endfor ~}. Anything else is an error.

    gce_template.py TEMPLATE JSON > RENDERED
"""

import json
import re
import sys
from pathlib import Path

DIRECTIVE = re.compile(r"^%\{ (if (?P<condition>\w+)|else|endif|for (?P<name>\w+) in (?P<list>\w+)|endfor) ~\}$")


def render(template, values):
    lines, out = template.splitlines(keepends=True), []
    if block(lines, 0, values, out) != len(lines):
        raise ValueError("an end without its beginning")
    return "".join(out)


def block(lines, at, values, out):
    """Renders until the end of this block, and says where that is."""
    while at < len(lines):
        directive = DIRECTIVE.match(lines[at].strip())
        if not directive:
            if "%{" in lines[at]:
                raise ValueError(f"not understood: {lines[at]}")
            out.append(re.sub(r"\$\{(\w+)\}", lambda match: str(values[match.group(1)]), lines[at]))
            at += 1
        elif directive["condition"]:
            yes, no = [], []
            at = block(lines, at + 1, values, yes)
            if lines[at].strip().startswith("%{ else"):
                at = block(lines, at + 1, values, no)
            out.extend(yes if values[directive["condition"]] else no)
            at += 1
        elif directive["list"]:
            start = at + 1
            at = block(lines, start, {**values, directive["name"]: ""}, [])
            for one in values[directive["list"]]:
                block(lines, start, {**values, directive["name"]: one}, out)
            at += 1
        else:
            return at
    return at


if __name__ == "__main__":
    sys.stdout.write(render(Path(sys.argv[1]).read_text(), json.loads(sys.argv[2])))
