#!/usr/bin/env bash
# Fact: in moto's SQS the receipt handle of a delivery that has expired still rules the message: its first
# holder makes it visible, or deletes it, while the second one works on it.
#
# Software: moto 5.2.5, ministack 1.5.33; the client is botocore 1.43.106.
# Seen: received for one second, received again by another: ChangeMessageVisibility(0) with the old handle is
# 200 in moto and the message is delivered a third time at once; DeleteMessage with it is 200 and the queue is
# empty. ministack refuses both with ReceiptHandleIsInvalid.
# A good engineer would have guessed: that only the newest handle counts, so that the call of the late holder
# is refused or does nothing: Amazon asks for the most recent one, and each delivery has a handle of its own
# so that this can be told.
# Why it matters: a test of what happens to a late worker passes or fails by the emulator: one lets it steal
# the message, the other refuses even its clean-up.
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
    Hypercorn==0.18.0 hyperframe==6.1.0 jsonata-python==0.7.1 priority==2.0.0 wsproto==1.3.2 moto==5.2.5 \
    Flask==3.1.3 flask-cors==6.0.5 Werkzeug==3.1.9 Jinja2==3.1.6 MarkupSafe==3.0.4 blinker==1.9.0 click==8.5.1 \
    itsdangerous==2.2.0 boto3==1.43.106 s3transfer==0.19.3 responses==0.26.3 requests==2.34.2 \
    charset-normalizer==3.5.3 idna==3.20 certifi==2026.10.19.post1 cryptography==50.0.2 cffi==2.1.1 \
    pycparser==3.12 PyYAML==6.0.3 xmltodict==1.0.4 py-partiql-parser==0.6.3 botocore==1.43.106 jmespath==1.1.0 \
    python-dateutil==2.9.0.post0 six==1.17.0 urllib3==2.8.0

ports=("$(free_port)" "$(free_port)")
"$folder/venv/bin/moto_server" -H 127.0.0.1 -p "${ports[0]}" >"$folder/moto.log" 2>&1 &
servers+=($!)
TMPDIR=$folder IOT_MTLS_ENABLED=0 BIND_HOST=127.0.0.1 GATEWAY_PORT=${ports[1]} \
    "$folder/venv/bin/ministack" >"$folder/ministack.log" 2>&1 &
servers+=($!)
for port in "${ports[@]}"; do until_open "$port"; done

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
from urllib.parse import urlsplit


def late_holder(port):
    sqs = connect("sqs", port)
    queue = f"http://127.0.0.1:{port}" + urlsplit(sqs.create_queue(QueueName="work")["QueueUrl"]).path
    sqs.send_message(QueueUrl=queue, MessageBody="job")
    receive = lambda seconds: [message["ReceiptHandle"] for message in
                               sqs.receive_message(QueueUrl=queue, VisibilityTimeout=seconds).get("Messages", [])]
    [first] = receive(1)
    time.sleep(1.5)
    [second] = receive(60)
    assert first != second
    hidden = receive(60)
    released = code(sqs.change_message_visibility, QueueUrl=queue, ReceiptHandle=first, VisibilityTimeout=0)
    again = len(receive(60))
    deleted = code(sqs.delete_message, QueueUrl=queue, ReceiptHandle=first)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return hidden, released, again, deleted, [int(counts[name]) for name in names]


seen = dict(zip(["moto", "ministack"], map(late_holder, sys.argv[1:])))
expected = {"moto": ([], "200", 1, "200", [0, 0]),
            "ministack": ([], "ReceiptHandleIsInvalid", 0, "ReceiptHandleIsInvalid", [0, 1])}

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
