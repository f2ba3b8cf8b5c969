#!/usr/bin/env bash
# Makes what compose.yaml needs beside it, and nothing twice: .env, an API key, Grafana's password, empty folders.
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
mkdir -p engines secrets/trusted-keys
[[ -e .env ]] || cp .env.example .env

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='; }

if [[ ! -e secrets/grafana-password ]]; then
    random >secrets/grafana-password
    echo "Grafana's user is admin, its password is in $PWD/secrets/grafana-password"
fi
if ! grep -qs "^$name:" secrets/api-keys; then
    key=rs_$(random)
    printf '%s:%s\n' "$name" "$(printf %s "$key" | sha256sum | cut -d' ' -f1)" >>secrets/api-keys
    echo "The API key of $name, shown once (only its hash is kept): $key"
fi
echo "Next: name your engine in $PWD/.env, put its public key into secrets/trusted-keys, then: docker compose up -d"
