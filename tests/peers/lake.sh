#!/usr/bin/env bash
# Installs readers of Delta tables and Parquet files from PyPI for the tests, once, into ~/.cache/tidegate-test/lake-<n>.
set -euo pipefail

# another number for other versions
dir="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-test/lake-1"
[ -d "$dir" ] && exit 0

mkdir -p "$(dirname "$dir")"
work=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! python3 -m venv "$work"; then
    echo "The tests of storage need Python 3 with venv (Debian: python3-venv)" >&2
    exit 1
fi
"$work/bin/python" -m pip install --quiet --disable-pip-version-check \
    deltalake==1.6.6 pyarrow==26.0.1 duckdb==2.0.1
mv -T "$work" "$dir"
