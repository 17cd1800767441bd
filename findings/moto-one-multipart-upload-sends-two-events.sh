#!/usr/bin/env bash
# Fact: moto sends ObjectCreated:Put and ObjectCreated:CompleteMultipartUpload for one finished multipart
# upload, and nothing at all for a delete marker.
#
# Software: moto 5.2.5 (its S3 and its SQS in one server); the client is botocore 1.43.106.
# Seen: a queue that takes s3:ObjectCreated:* and s3:ObjectRemoved:* gets two messages at Complete, one for a
# PUT, one for the deletion of an object without versions, and none when a deletion leaves a marker.
# A good engineer would have guessed: one event, CompleteMultipartUpload, as at Amazon; and
# ObjectRemoved:DeleteMarkerCreated for the marker, as it sends ObjectRemoved:Delete for other deletions.
# Why it matters: a test that counts events or work counts one object twice; one of deletions in a versioned
# bucket waits for ever.
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


import json

s3, sqs = connect("s3", sys.argv[1]), connect("sqs", sys.argv[1])
s3.create_bucket(Bucket="bucket")
sqs.create_queue(QueueName="events")
queue = f"http://127.0.0.1:{sys.argv[1]}/123456789012/events"
arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
wanted = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
s3.put_bucket_notification_configuration(Bucket="bucket", NotificationConfiguration={"QueueConfigurations": [wanted]})


def events():
    names = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            names += [record["eventName"] for record in json.loads(message["Body"]).get("Records", [])]
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return sorted(names)


events()
seen, at = [], {"Bucket": "bucket", "Key": "object"}
s3.put_object(**at, Body=b"one request")
seen.append(events())
upload = {**at, "UploadId": s3.create_multipart_upload(**at)["UploadId"]}
etag = s3.upload_part(**upload, PartNumber=1, Body=b"in parts")["ETag"]
s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
seen.append(events())
s3.delete_object(**at)
seen.append(events())
s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
s3.put_object(**at, Body=b"a version")
events()
marker = s3.delete_object(**at)["DeleteMarker"]
seen += [marker, events()]
expected = [["ObjectCreated:Put"], ["ObjectCreated:CompleteMultipartUpload", "ObjectCreated:Put"],
            ["ObjectRemoved:Delete"], True, []]

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
