#!/usr/bin/env bash
# Makes the pictures in this folder anew: docs/ui/pictures.sh [path of a built tidegate]
set -euo pipefail
cd "$(dirname "$0")/../.."
TIDEGATE_PICTURES="$PWD/docs/ui" tests/ui/with-instance.sh pictures "$@"
if command -v pngquant >/dev/null; then
    # half the size, and nobody sees a difference
    pngquant --force --ext .png --skip-if-larger --quality 80-98 docs/ui/*.png || [ $? -eq 98 ]
else
    echo "pngquant is not installed: the pictures are right, and twice as large as need be (Debian: pngquant)" >&2
fi
