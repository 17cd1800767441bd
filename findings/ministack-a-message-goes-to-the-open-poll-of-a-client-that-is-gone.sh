#!/usr/bin/env bash
# Fact: ministack gives a message to the long poll of a client that has closed its connection: the message is then
# invisible for the whole visibility time-out, and the receive that nobody got is counted.
#
# Software: ministack 1.5.33; the other client is botocore 1.43.106.
# Seen: a poll of eight seconds whose client goes after three; a message sent half a second later. A poll of two
# seconds, begun a second after that, finds nothing; the next one gets the message when its four seconds of
# invisibility are over, with ApproximateReceiveCount 2.
# A good engineer would have guessed: the poll ends with its connection (a server notices that on the next event of
# the socket), so the new poll gets the message at once, with the count 1.
# Why it matters: a test that kills a consumer and expects the next one to take the message at once, or that counts
# receives against maxReceiveCount, fails now and then for a reason that is in neither program.
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
import http.client
import json
import sys
import time
import botocore.session
from botocore.config import Config


def connect(service, port):
    """A client of the server on this port; keys that mean nothing anywhere else."""
    return botocore.session.get_session().create_client(
        service, region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="FINDINGSANDBOX000001", aws_secret_access_key="findings-secret",
        config=Config(retries={"max_attempts": 1}, request_checksum_calculation="when_required",
                      s3={"addressing_style": "path"}))


sqs = connect("sqs", sys.argv[1])
queue = sqs.create_queue(QueueName="queue", Attributes={"VisibilityTimeout": "4"})["QueueUrl"]


def poll(seconds):
    """The messages' receive counts, after waiting for so long at most."""
    answer = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=seconds, AttributeNames=["ApproximateReceiveCount"])
    return [message["Attributes"]["ApproximateReceiveCount"] for message in answer.get("Messages", [])]


# A client that asks, waits for three seconds of the eight, and goes: its connection is closed in both directions.
body = json.dumps({"QueueUrl": queue, "WaitTimeSeconds": 8}).encode()
gone = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=3)
gone.request("POST", "/", body, {"Content-Type": "application/x-amz-json-1.0",
                                 "X-Amz-Target": "AmazonSQS.ReceiveMessage",
                                 "Authorization": "AWS4-HMAC-SHA256 Credential=FINDINGSANDBOX000001/20260101/"
                                                  "us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0"})
try:
    gone.getresponse()
except TimeoutError:
    pass
gone.close()
time.sleep(0.5)
sqs.send_message(QueueUrl=queue, MessageBody="after it had gone")
time.sleep(1)
seen = [poll(2), poll(8)]
expected = [[], ["2"]]

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
