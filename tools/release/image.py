"""A container image of the static programs as an OCI layout in one file, made of nothing but files: no daemon, no base image, no
shell in it. One layer for each architecture; the same programs and time give the same digest.

    image.py VERSION FILE ARCHITECTURE=PROGRAMS…        # SOURCE_DATE_EPOCH is the time of everything in it

`podman load`, `docker load` and `skopeo copy oci-archive:FILE docker://…` read it.
"""

import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile

import certifi

TIME = int(os.environ["SOURCE_DATE_EPOCH"])
CREATED = datetime.datetime.fromtimestamp(TIME, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
# Nobody in particular, as in other images without a shell.
USER = 65532
KIND = "application/vnd.oci.image"
PASSWD = f"root:x:0:0::/:/sbin/nologin\nskyferry:x:{USER}:{USER}::/var/lib/skyferry:/sbin/nologin\n"
GROUP = f"root:x:0:\nskyferry:x:{USER}:\n"


def entry(name, size=0, mode=0o644, kind=tarfile.REGTYPE, owner=0):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.mtime, info.uid, info.gid = size, mode, kind, TIME, owner, owner
    return info


def layer(programs):
    """What a container sees: both programs, certificates, a place for state, a place for temporary files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        folders = ("etc", "etc/skyferry", "etc/ssl", "etc/ssl/certs", "usr", "usr/bin", "var", "var/lib")
        for folder in folders:
            archive.addfile(entry(folder, mode=0o755, kind=tarfile.DIRTYPE))
        archive.addfile(entry("tmp", mode=0o1777, kind=tarfile.DIRTYPE))
        archive.addfile(entry("var/lib/skyferry", mode=0o700, kind=tarfile.DIRTYPE, owner=USER))
        files = [("etc/passwd", PASSWD.encode(), 0o644), ("etc/group", GROUP.encode(), 0o644)]
        files.append(("etc/ssl/certs/ca-certificates.crt", pathlib.Path(certifi.where()).read_bytes(), 0o644))
        files += [(f"usr/bin/{name}", (programs / name).read_bytes(), 0o755) for name in ("skyferry", "skyferry-agent")]
        for name, data, mode in files:
            archive.addfile(entry(name, len(data), mode), io.BytesIO(data))
    return packed.getvalue()


class Layout:
    def __init__(self):
        self.blobs = {}

    def add(self, data, kind, **more):
        """Keeps it, and describes it."""
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data), **more}

    def image(self, architecture, programs, version):
        plain = layer(programs)
        platform = {"architecture": architecture, "os": "linux"}
        config = {
            "created": CREATED,
            **platform,
            "config": {
                "User": f"{USER}:{USER}",
                "Entrypoint": ["/usr/bin/skyferry-agent"],
                "Cmd": ["--config", "/etc/skyferry/agent.toml"],
                "Env": ["PATH=/usr/bin", "HOME=/var/lib/skyferry"],
                "WorkingDir": "/var/lib/skyferry",
                "StopSignal": "SIGTERM",
                "Labels": {"org.opencontainers.image.title": "skyferry", "org.opencontainers.image.version": version},
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
            "history": [{"created": CREATED, "created_by": "tools/release/image.py"}],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{KIND}.manifest.v1+json",
            "config": self.add(text(config), f"{KIND}.config.v1+json"),
            "layers": [self.add(gzip.compress(plain, 6, mtime=0), f"{KIND}.layer.v1.tar+gzip")],
        }
        return self.add(text(manifest), f"{KIND}.manifest.v1+json", platform=platform)

    def write(self, file, index):
        with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
            for folder in ("blobs", "blobs/sha256"):
                archive.addfile(entry(folder, mode=0o755, kind=tarfile.DIRTYPE))
            files = {"oci-layout": text({"imageLayoutVersion": "1.0.0"}), "index.json": text(index)}
            files |= {f"blobs/sha256/{digest}": data for digest, data in sorted(self.blobs.items())}
            for name, data in files.items():
                archive.addfile(entry(name, len(data)), io.BytesIO(data))


def text(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def main():
    version, file, *given = sys.argv[1:]
    layout = Layout()
    given = [one.split("=", 1) for one in given]
    images = [layout.image(architecture, pathlib.Path(programs), version) for architecture, programs in given]
    both = {"schemaVersion": 2, "mediaType": f"{KIND}.index.v1+json", "manifests": images}
    # One name for all architectures: whoever pulls it gets that of the machine.
    name = {"org.opencontainers.image.ref.name": version}
    named = layout.add(text(both), f"{KIND}.index.v1+json", annotations=name)
    layout.write(file, {"schemaVersion": 2, "manifests": [named]})
    print(named["digest"])


main()
