#!/usr/bin/env bash
# Fact: one UpdateItem with REMOVE l[0], l[2] removes the first and the fourth element in dynalite and in
# ministack, the first and the third in moto.
#
# Software: dynalite 4.0.0 (npm), ministack 1.5.33, moto 5.2.5; the client is botocore 1.43.106.
# Seen: of [0,1,2,3,4] remain [1,2,4] in dynalite and ministack: the second index is applied to the list that
# the first removal left. In moto [1,3,4].
# A good engineer would have guessed: [1,3,4] everywhere: an update's actions all refer to the item as it was
# before, which the example REMOVE RelatedItems[1], RelatedItems[2] in DynamoDB's documentation shows too.
# Why it matters: two of three emulators agree with each other, not with the documentation, so a comparison of
# emulators finds the wrong one guilty.
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
timeout 60 npm install --silent --no-audit --no-fund --prefix "$folder" dynalite@4.0.0

ports=("$(free_port)" "$(free_port)" "$(free_port)")
"$folder/node_modules/.bin/dynalite" --host 127.0.0.1 --port "${ports[0]}" --createTableMs 0 >"$folder/dynalite.log" 2>&1 &
servers+=($!)
TMPDIR=$folder IOT_MTLS_ENABLED=0 BIND_HOST=127.0.0.1 GATEWAY_PORT=${ports[1]} \
    "$folder/venv/bin/ministack" >"$folder/ministack.log" 2>&1 &
servers+=($!)
"$folder/venv/bin/moto_server" -H 127.0.0.1 -p "${ports[2]}" >"$folder/moto.log" 2>&1 &
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


def left(port):
    dynamo, key = connect("dynamodb", port), {"k": {"S": "a"}}
    dynamo.create_table(TableName="table", BillingMode="PAY_PER_REQUEST",
                        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
                        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}])
    while dynamo.describe_table(TableName="table")["Table"]["TableStatus"] != "ACTIVE":
        time.sleep(0.1)
    dynamo.put_item(TableName="table", Item={**key, "l": {"L": [{"N": str(n)} for n in range(5)]}})
    item = dynamo.update_item(TableName="table", Key=key, UpdateExpression="REMOVE l[0], l[2]",
                              ReturnValues="ALL_NEW")["Attributes"]
    return [int(element["N"]) for element in item["l"]["L"]]


seen = dict(zip(["dynalite", "ministack", "moto"], map(left, sys.argv[1:])))
expected = {"dynalite": [1, 2, 4], "ministack": [1, 2, 4], "moto": [1, 3, 4]}

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
