#!/usr/bin/env bash
# Makes what compose.yaml needs beside it, and nothing twice: .env, an API key, passwords of Grafana and Orthanc, the
# file of archives, empty folders.
# Usage: prepare.sh [NAME]    NAME is who the API key is for.
set -euo pipefail
cd "$(dirname "$0")"
name=${1:-first-user}
[[ $name =~ ^[A-Za-z0-9._-]{1,64}$ ]] || {
    echo "prepare: NAME may hold letters, digits, dot, dash and underscore only" >&2
    exit 2
}

# The folder is closed to other users of this machine; its files are read by the containers' own users.
mkdir -p -m 700 secrets
mkdir -p engines secrets/trusted-keys secrets/pacs
[[ -e .env ]] || cp .env.example .env

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='; }

if [[ ! -e secrets/grafana-password ]]; then
    random >secrets/grafana-password
    echo "Grafana's user is admin, its password is in $PWD/secrets/grafana-password"
fi
if [[ ! -e secrets/orthanc.json ]]; then
    password=$(random)
    printf '{"RegisteredUsers": {"radserve": "%s"}}\n' "$password" >secrets/orthanc.json
    printf '%s\n' "$password" >secrets/pacs/orthanc-password
fi
[[ -e secrets/pacs/pacs.toml ]] || cat >secrets/pacs/pacs.toml <<'EOF'
# The archives that questions, reports and the viewer may name: docs/pacs.md says what can stand here.
[archive]
url = "http://orthanc:8042/dicom-web"
username = "radserve"
password_file = "/pacs/orthanc-password"
allow_plain_http = true # it stays on the containers' inner network
EOF
if ! grep -qs "^$name:" secrets/api-keys; then
    key=rs_$(random)
    printf '%s:%s\n' "$name" "$(printf %s "$key" | sha256sum | cut -d' ' -f1)" >>secrets/api-keys
    echo "The API key of $name, shown once (only its hash is kept): $key"
fi
echo "Next: name your engine in $PWD/.env, put its public key into secrets/trusted-keys, then: docker compose up -d"
