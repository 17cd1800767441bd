#!/usr/bin/env bash
# Makes a machine of the group an agent: installs the package, writes the settings, starts the service, waits until it
# answers. Runs at every boot, and changes nothing that is so already. All it knows comes from the metadata server; no
# secret is in it.
set -euo pipefail

readonly METADATA=http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1
readonly STORAGE=${STORAGE_EMULATOR_HOST:-https://storage.googleapis.com}
readonly SETTINGS=/etc/skyferry/agent.toml
readonly INSTALLED=/var/lib/skyferry
# The group replaces a machine that does not answer after 300 s.
readonly PATIENCE=120

say() {
    echo "skyferry start-up: $*"
}

fail() {
    echo "skyferry start-up: $*" >&2
    exit 1
}

fetch() {
    curl --silent --show-error --fail --retry 6 --retry-connrefused --connect-timeout 5 "$@"
}

metadata() {
    fetch --max-time 10 --header "Metadata-Flavor: Google" "$METADATA/$1"
}

attribute() {
    metadata "instance/attributes/$1" || fail "this machine's metadata has no $1: make its template with deploy-gce"
}

# By a header on stdin, so that the token is in no process's arguments.
download() {
    local url=$STORAGE/${1#gs://} token
    token=$(metadata instance/service-accounts/default/token | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
    [[ -n $token ]] || fail "this machine has no service account: give its template one"
    echo "Authorization: Bearer $token" | fetch --header @- --max-time 300 --output "$2" "$url" ||
        fail "$1 cannot be read: upload the package, and grant roles/storage.objectViewer on its bucket to this machine's service account"
}

# The package that an attribute names, and no other: its sum is the attribute's with -sha256. Sets `installed`.
install_package() {
    local package sum file
    package=$(attribute "$1")
    sum=$(attribute "$1-sha256")
    installed=false
    [[ $(cat "$INSTALLED-$1.sha256" 2>/dev/null || true) != "$sum" ]] || return 0
    # Not under a directory that only root may enter: apt reads it as a user of its own.
    file=$(mktemp --suffix=.deb --tmpdir=/var/tmp)
    download "$package" "$file"
    echo "$sum  $file" | sha256sum --check --status ||
        fail "$package is not what was asked for: its SHA-256 is $(sha256sum <"$file" | cut -d' ' -f1), not $sum"
    chmod 0644 "$file"
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends --allow-downgrades \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$file"
    rm "$file"
    echo "$sum" >"$INSTALLED-$1.sha256"
    installed=true
    say "installed $package"
}

write_settings() {
    local new
    new=$(attribute skyferry-settings)
    [[ $new != "$(cat "$SETTINGS" 2>/dev/null || true)" ]] || return 0
    install -m 0640 -o root -g skyferry /dev/stdin "$SETTINGS" <<<"$new"
    changed=true
    say "wrote $SETTINGS"
}

# On every machine; the one whose scan is the first to be in the ledger does it.
schedule_scan() {
    local scan units=/etc/systemd/system/skyferry-scan
    scan=$(attribute skyferry-scan)
    if [[ $scan == off ]]; then
        systemctl disable --quiet --now skyferry-scan.timer
        return 0
    fi
    [[ ! $scan =~ ^[0-9]{2}:[0-9]{2}$ ]] || scan="*-*-* $scan UTC"
    systemd-analyze calendar "$scan" >/dev/null || fail "scan_at is neither off nor a time that systemd knows: $scan"
    mkdir -p "$units.service.d" "$units.timer.d"
    printf '[Service]\nExecStart=\nExecStart=/usr/bin/skyferry scan --config %s --once-per 5m\n' "$SETTINGS" >"$units.service.d/fleet.conf"
    printf '[Timer]\nOnCalendar=\nOnCalendar=%s\nRandomizedDelaySec=0\n' "$scan" >"$units.timer.d/fleet.conf"
    systemctl daemon-reload
    systemctl enable --quiet --now skyferry-scan.timer
}

answers() {
    curl --silent --fail --max-time 2 "$health" >/dev/null
}

wait_until_it_answers() {
    while ((SECONDS < PATIENCE)) && ! answers; do
        sleep 1
    done
}

# Logs and metrics to Google. After the agent and never in its way; and where it does not start, so that its log tells why.
install_ops_agent() {
    local endpoint=${health#http://}
    [[ -n $(metadata instance/attributes/skyferry-ops-agent || true) ]] || return 0
    endpoint=${endpoint%%/*}
    mkdir -p /etc/google-cloud-ops-agent
    cat >/etc/google-cloud-ops-agent/config.yaml <<YAML
logging:
  receivers:
    skyferry:
      type: systemd_journald
  service:
    pipelines:
      skyferry:
        receivers: [skyferry]
metrics:
  receivers:
    skyferry:
      type: prometheus
      config:
        scrape_configs:
          - job_name: skyferry
            scrape_interval: 60s
            static_configs:
              - targets: ["$endpoint"]
  service:
    pipelines:
      skyferry:
        receivers: [skyferry]
YAML
    # In a shell of its own: what fails there ends it alone.
    (install_package skyferry-ops-agent) ||
        say "the Ops Agent could not be installed: no logs and no metrics leave this machine, but the agent works"
}

health=$(attribute skyferry-health)
install_package skyferry-package
changed=$installed
write_settings
systemctl enable --quiet skyferry-agent
schedule_scan
if $changed; then systemctl restart skyferry-agent; else systemctl start skyferry-agent; fi
wait_until_it_answers
install_ops_agent
if ! answers; then
    journalctl --unit skyferry-agent --lines 20 --no-pager >&2
    fail "the agent does not answer at $health: its last lines are above"
fi
say "the agent answers"
