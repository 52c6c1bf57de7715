#!/usr/bin/env bash
# Installs schemathesis, which asks an API whatever its OpenAPI description allows, from PyPI for the tests, once, into
# ~/.cache/tidegate-test/schemathesis-<version>.
set -euo pipefail

version=4.32.5
dir="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-test/schemathesis-$version"
[ -d "$dir" ] && exit 0

mkdir -p "$(dirname "$dir")"
work=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! python3 -m venv "$work"; then
    echo "The test of the API's description needs Python 3 with venv (Debian: python3-venv)" >&2
    exit 1
fi
"$work/bin/python" -m pip install --quiet --disable-pip-version-check "schemathesis==$version"
mv -T "$work" "$dir"
