#!/usr/bin/env bash
# Runs tests/ui/SCRIPT.mjs with a fresh instance: tests/ui/with-instance.sh SCRIPT [path of a built tidegate]
set -euo pipefail
cd "$(dirname "$0")/../.."
tidegate=${2:-target/release/tidegate}

work=$(mktemp -d)
trap 'kill "$instance" 2>/dev/null; wait "$instance" || true; rm -rf "$work"' EXIT
"$tidegate" run --data-dir "$work" --http-listen 127.0.0.1:0 --mqtt-listen 127.0.0.1:0 --output json >"$work/ready" 2>"$work/log" &
instance=$!
until [ -s "$work/ready" ]; do
    kill -0 "$instance" || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
done
TIDEGATE_BROWSER=$(tests/peers/browser.sh)
TIDEGATE_HTTP=$(sed 's/.*"http":"\([^"]*\)".*/\1/' "$work/ready")
TIDEGATE_MQTT=$(sed 's/.*"mqtt":\["[^"]*:\([0-9]*\)".*/\1/' "$work/ready")
export TIDEGATE_BROWSER TIDEGATE_HTTP TIDEGATE_MQTT
node "tests/ui/$1.mjs"
