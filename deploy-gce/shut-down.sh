#!/usr/bin/env bash
# Lets the agent drain before the machine ends, by scale-in, by an update or by preemption: one SIGTERM, then up to 25 seconds
# in which it ends or checkpoints every write and gives its messages back.
#
# By systemctl and not by kill: where the system is going down already, this joins the stop that is under way, and a second
# SIGTERM would tell the agent to give up at once.
set -euo pipefail

# The agent's own bound is 25 s, preemption leaves 30.
timeout 28 systemctl stop skyferry-agent || echo "skyferry shut-down: the agent did not end in time; its messages come back by themselves" >&2
