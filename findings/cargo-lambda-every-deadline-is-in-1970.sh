#!/usr/bin/env bash
# Fact: cargo lambda watch sends every invocation with lambda-runtime-deadline-ms: 600000, a span, where
# Lambda sends a point in time.
#
# Software: cargo-lambda 1.9.2 (PyPI); the function's side is played by plain HTTP requests.
# Seen: the header of an invocation is 600000, which read as milliseconds since 1970 is ten minutes after
# midnight of 1 January 1970; the invocation's answer is nevertheless taken.
# A good engineer would have guessed: the time of day in milliseconds some minutes from now: that is what the
# Runtime API's documentation calls a deadline.
# Why it matters: a function that asks how much time is left gets less than nothing: one that stops in good
# time stops at once.
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
    cargo-lambda==1.9.2

ports=("$(free_port)")
# It wants a package to stand in; nothing of it is built.
mkdir -p "$folder/function/src"
cd "$folder/function"
printf '[package]\nname = "function"\nversion = "0.1.0"\nedition = "2021"\n' >Cargo.toml
echo 'fn main() {}' >src/main.rs
"$folder/venv/bin/cargo-lambda" lambda watch --only-lambda-apis -A 127.0.0.1 -P "${ports[0]}" >"$folder/watch.log" 2>&1 &
servers+=($!)
until_open "${ports[0]}"

timeout 60 "$folder/venv/bin/python" - "${ports[@]}" <<'PYTHON'
import sys

import http.client
import threading
import time

answers = []


def call(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


invocation = threading.Thread(
    target=lambda: answers.append(call("POST", "/2015-03-31/functions/function/invocations", "{}")))
invocation.start()
_, headers, _ = call("GET", "/.rt/function/2018-06-01/runtime/invocation/next")
request, deadline = headers["lambda-runtime-aws-request-id"], int(headers["lambda-runtime-deadline-ms"])
call("POST", f"/.rt/function/2018-06-01/runtime/invocation/{request}/response", '{"done":true}')
invocation.join()
seen = {"deadline": deadline, "is to come": deadline > time.time() * 1000, "answer": answers[0][::2]}
expected = {"deadline": 600000, "is to come": False, "answer": (200, b'{"done":true}')}

print("seen:", seen)
if seen != expected:
    sys.exit(f"CHANGED; it was: {expected}")
print("as stated")
PYTHON
