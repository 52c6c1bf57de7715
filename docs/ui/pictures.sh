#!/usr/bin/env bash
# Makes the pictures in this folder anew: docs/ui/pictures.sh [path of a built tidegate]
set -euo pipefail
cd "$(dirname "$0")/../.."
tidegate=${1:-target/release/tidegate}

work=$(mktemp -d)
trap 'kill "$instance" 2>/dev/null; rm -rf "$work"' EXIT
"$tidegate" run --data-dir "$work" --http-listen 127.0.0.1:0 --mqtt-listen 127.0.0.1:0 --output json >"$work/ready" 2>"$work/log" &
instance=$!
until [ -s "$work/ready" ]; do
    kill -0 "$instance" || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
done
TIDEGATE_BROWSER=$(tests/peers/browser.sh)
TIDEGATE_HTTP=$(sed 's/.*"http":"\([^"]*\)".*/\1/' "$work/ready")
TIDEGATE_MQTT=$(sed 's/.*"mqtt":\["[^"]*:\([0-9]*\)".*/\1/' "$work/ready")
export TIDEGATE_BROWSER TIDEGATE_HTTP TIDEGATE_MQTT TIDEGATE_PICTURES="$PWD/docs/ui"
node tests/ui/pictures.mjs
# half the size, and nobody sees a difference (Debian: pngquant)
pngquant --force --ext .png --skip-if-larger --quality 80-98 docs/ui/*.png
