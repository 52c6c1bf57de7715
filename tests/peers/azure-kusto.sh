#!/usr/bin/env bash
# Installs Microsoft's Python clients of Azure Data Explorer from PyPI for the tests, once, into
# ~/.cache/tidegate-test/azure-kusto-<version>.
set -euo pipefail

version=6.0.4
dir="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-test/azure-kusto-$version"
[ -d "$dir" ] && exit 0

mkdir -p "$(dirname "$dir")"
work=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! python3 -m venv "$work"; then
    echo "The tests of Azure Data Explorer need Python 3 with venv (Debian: python3-venv)" >&2
    exit 1
fi
"$work/bin/python" -m pip install --quiet --disable-pip-version-check \
    "azure-kusto-data==$version" "azure-kusto-ingest==$version"
mv -T "$work" "$dir"
