#!/usr/bin/env bash
# Installs Azurite, Microsoft's emulator of Azure Storage, from npm for the tests, once, into
# ~/.cache/tidegate-test/azurite-<version>.
set -euo pipefail

version=3.35.0
dir="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-test/azurite-$version"
[ -d "$dir" ] && exit 0

missing=()
command -v node >/dev/null || missing+=("Node.js (Debian: nodejs)")
command -v npm >/dev/null || missing+=("npm (Debian: npm)")
if [ ${#missing[@]} -gt 0 ]; then
    printf 'The tests of Azure Data Explorer need Azurite, and to fetch and run it: %s\n' "${missing[@]}" >&2
    exit 1
fi

mkdir -p "$(dirname "$dir")"
work=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$work"' EXIT
npm install --silent --no-audit --no-fund --prefix "$work" "azurite@$version"
mv -T "$work" "$dir"
