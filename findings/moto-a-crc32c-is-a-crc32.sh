#!/usr/bin/env bash
# Fact: where the Python package crc32c is not installed, moto shows the CRC-32 of a multipart object under
# the name x-amz-checksum-crc32c, with the type FULL_OBJECT; and its CRC64NVME has four bytes.
#
# Software: moto 5.2.5 with what its own extra [server] needs for S3; the client is botocore 1.43.106.
# Seen: Complete accepts the right whole CRC32C, and HEAD then answers another one, which is the CRC-32
# (zlib's) of the whole object in base64. An upload with CRC64NVME shows the same four bytes.
# A good engineer would have guessed: the CRC32C; or no checksum, or an error, where the algorithm is missing.
# The remark in moto's documentation speaks of a fall-back "when computing checksums", and nothing in the
# answer shows it.
# Why it matters: a client that compares what the server stores with what it sent takes a right upload for a
# damaged one. moto[server] does not install crc32c.
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
    moto==5.2.5 Flask==3.1.3 flask-cors==6.0.5 Werkzeug==3.1.9 Jinja2==3.1.6 MarkupSafe==3.0.4 blinker==1.9.0 \
    click==8.5.1 itsdangerous==2.2.0 boto3==1.43.106 s3transfer==0.19.3 responses==0.26.3 requests==2.34.2 \
    charset-normalizer==3.5.3 idna==3.20 certifi==2026.10.19.post1 cryptography==50.0.2 cffi==2.1.1 \
    pycparser==3.12 PyYAML==6.0.3 xmltodict==1.0.4 py-partiql-parser==0.6.3 botocore==1.43.106 jmespath==1.1.0 \
    python-dateutil==2.9.0.post0 six==1.17.0 urllib3==2.8.0

ports=("$(free_port)")
"$folder/venv/bin/moto_server" -H 127.0.0.1 -p "${ports[0]}" >"$folder/moto.log" 2>&1 &
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


import base64
import zlib

CRC32C_OF_DATA = "OYHPxw=="
DATA = [bytes(range(256)) * (5 * 4096), b"tail"]
s3 = connect("s3", sys.argv[1])
s3.create_bucket(Bucket="bucket")


def shown(algorithm, complete):
    at = {"Bucket": "bucket", "Key": algorithm}
    begun = s3.create_multipart_upload(**at, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    upload = {**at, "UploadId": begun["UploadId"]}
    parts = [{"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"]}
             for number, body in enumerate(DATA, 1)]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, ChecksumType="FULL_OBJECT", **complete)
    head = s3.head_object(**at, ChecksumMode="ENABLED")
    return head["ChecksumType"], head["Checksum" + algorithm]


crc32 = base64.b64encode(zlib.crc32(b"".join(DATA)).to_bytes(4, "big")).decode()
seen = [shown("CRC32C", {"ChecksumCRC32C": CRC32C_OF_DATA}), shown("CRC64NVME", {})]
expected = [("FULL_OBJECT", crc32), ("FULL_OBJECT", crc32)]
assert crc32 != CRC32C_OF_DATA

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
