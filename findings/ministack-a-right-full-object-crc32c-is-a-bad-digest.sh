#!/usr/bin/env bash
# Fact: ministack refuses the right FULL_OBJECT CRC32C of a multipart upload with BadDigest, and accepts in
# its place the composite one.
#
# Software: ministack 1.5.33; the client is botocore 1.43.106.
# Seen: CreateMultipartUpload with ChecksumType FULL_OBJECT is 200 and answers COMPOSITE. At Complete, again
# with FULL_OBJECT, the CRC32C of the whole is 400 BadDigest and the CRC32C of the parts' CRC32Cs, with -2
# behind it, is 200.
# A good engineer would have guessed: that an emulator which verifies checksums knows the two kinds apart, or
# refuses the kind that it does not know when the upload begins.
# Why it matters: a client that sends the whole object's checksum, which is right at Amazon, cannot be tested
# against it; one that sends the wrong kind passes.
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
    ministack==1.5.33 defusedxml==0.7.1 graphql-core==3.2.12 h11==0.16.0 h2==4.4.1 hpack==4.2.0 \
    Hypercorn==0.18.0 hyperframe==6.1.0 jsonata-python==0.7.1 priority==2.0.0 PyYAML==6.0.3 wsproto==1.3.2 \
    botocore==1.43.106 jmespath==1.1.0 python-dateutil==2.9.0.post0 six==1.17.0 urllib3==2.8.0

ports=("$(free_port)")
TMPDIR=$folder IOT_MTLS_ENABLED=0 BIND_HOST=127.0.0.1 GATEWAY_PORT=${ports[0]} \
    "$folder/venv/bin/ministack" >"$folder/ministack.log" 2>&1 &
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


WHOLE, COMPOSITE, PARTS = "OYHPxw==", "Rmeakg==", ["D5dXlQ==", "B21LrQ=="]
DATA = [bytes(range(256)) * (5 * 4096), b"tail"]
s3 = connect("s3", sys.argv[1])
s3.create_bucket(Bucket="bucket")


def complete(key, checksum):
    at = {"Bucket": "bucket", "Key": key}
    begun = s3.create_multipart_upload(**at, ChecksumAlgorithm="CRC32C", ChecksumType="FULL_OBJECT")
    upload = {**at, "UploadId": begun["UploadId"]}
    parts = []
    for number, (body, crc) in enumerate(zip(DATA, PARTS), 1):
        etag = s3.upload_part(**upload, PartNumber=number, Body=body, ChecksumCRC32C=crc)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag, "ChecksumCRC32C": crc})
    return begun.get("ChecksumType"), code(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts},
                                           ChecksumType="FULL_OBJECT", ChecksumCRC32C=checksum)


seen = [complete("whole", WHOLE), complete("composite", COMPOSITE + "-2")]
expected = [("COMPOSITE", "BadDigest"), ("COMPOSITE", "200")]

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
