#!/usr/bin/env bash
# Fetches what the tests of the web UI drive Chromium with (playwright-core, axe-core) from npm, once, into
# ~/.cache/tidegate-test/browser-<hash of the lock file>, and says where that is.
set -euo pipefail
cd "$(dirname "$0")/../ui"

lock=$(sha256sum package-lock.json | cut -c1-12)
dir="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-test/browser-$lock"
if [ ! -d "$dir" ]; then
    if ! command -v npm >/dev/null; then
        echo "The tests of the web UI need Node.js 18 or later with npm (Debian: nodejs npm)" >&2
        exit 1
    fi
    mkdir -p "$(dirname "$dir")"
    work=$(mktemp -d "$dir.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp package.json package-lock.json "$work"
    (cd "$work" && npm ci --silent --ignore-scripts --no-audit --no-fund)
    # another run may have been quicker
    mv -T "$work" "$dir" 2>/dev/null || [ -d "$dir" ]
fi
echo "$dir"
