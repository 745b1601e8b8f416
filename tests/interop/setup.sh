#!/usr/bin/env bash
# Makes the virtual environment of the independent readers (target/interop-venv) and prints its Python's path.
# Does nothing when requirements.txt has not changed since the last time.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
venv="${ICESYNC_INTEROP_VENV:-$root/target/interop-venv}"

if ! cmp -s "$here/requirements.txt" "$venv/requirements.installed"; then
    rm -rf "$venv"
    python3 -m venv "$venv" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$venv/requirements.installed"
fi
echo "$venv/bin/python"
