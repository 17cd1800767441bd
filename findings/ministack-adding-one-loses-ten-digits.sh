#!/usr/bin/env bash
# Fact: in ministack's DynamoDB, ADD 1 to a number of 38 digits changes its last ten digits to zeros; dynalite
# 4 adds exactly.
#
# Software: ministack 1.5.33, dynalite 4.0.0 (npm); the client is botocore 1.43.106.
# Seen: 12345678901234567890123456789012345678 + 1 is 12345678901234567890123456790000000000 in ministack, and
# …679 in dynalite. Storing and reading the number alone keeps every digit in both.
# A good engineer would have guessed: 38 exact digits, which is what DynamoDB promises for numbers; the number
# went in and came back whole, so arithmetic would keep it too. (28 digits are the precision of Python's
# decimal context where nobody sets it.)
# Why it matters: identifiers and counters above 10^28 that are kept as numbers change silently, in tests
# only.
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
timeout 60 npm install --silent --no-audit --no-fund --prefix "$folder" dynalite@4.0.0

ports=("$(free_port)" "$(free_port)")
TMPDIR=$folder IOT_MTLS_ENABLED=0 BIND_HOST=127.0.0.1 GATEWAY_PORT=${ports[0]} \
    "$folder/venv/bin/ministack" >"$folder/ministack.log" 2>&1 &
servers+=($!)
until_open "${ports[0]}"
"$folder/node_modules/.bin/dynalite" --host 127.0.0.1 --port "${ports[1]}" --createTableMs 0 >"$folder/dynalite.log" 2>&1 &
servers+=($!)
until_open "${ports[1]}"

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

NUMBER = "12345678901234567890123456789012345678"


def kept_and_added(port):
    dynamo, key = connect("dynamodb", port), {"k": {"S": "a"}}
    dynamo.create_table(TableName="table", BillingMode="PAY_PER_REQUEST",
                        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
                        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}])
    while dynamo.describe_table(TableName="table")["Table"]["TableStatus"] != "ACTIVE":
        time.sleep(0.1)
    dynamo.put_item(TableName="table", Item={**key, "n": {"N": NUMBER}})
    kept = dynamo.get_item(TableName="table", Key=key)["Item"]["n"]["N"]
    added = dynamo.update_item(TableName="table", Key=key, UpdateExpression="ADD n :one", ReturnValues="ALL_NEW",
                               ExpressionAttributeValues={":one": {"N": "1"}})["Attributes"]["n"]["N"]
    return kept == NUMBER, added


seen = [kept_and_added(port) for port in sys.argv[1:]]
expected = [(True, "12345678901234567890123456790000000000"), (True, "12345678901234567890123456789012345679")]

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
