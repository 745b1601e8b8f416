#!/bin/sh
# Runs the outside witnesses (pymssql, python-tds, tedious) against the stand-in, once plain and once with TLS.
# Usage: run.sh [path of the icesync-sandbox binary]; without a path it is built. Needs python3, node and npm; installs into target/interop.
# Exits non-zero when a witness fails or cannot run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work="$root/target/interop"
mkdir -p "$work"

if [ $# -ge 1 ]; then
    sandbox=$1
else
    (cd "$root" && cargo build --quiet -p icesync-sandbox)
    sandbox="${CARGO_TARGET_DIR:-$root/target}/debug/icesync-sandbox"
fi

[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pymssql==2.4.6' 'python-tds==1.17.1'
mkdir -p "$work/node"
cp "$here/package.json" "$work/node/package.json"
(cd "$work/node" && npm install --silent --no-audit --no-fund >/dev/null)

export SANDBOX_PASSWORD='Witness-0nly!'
export MSSQL_HOST=127.0.0.1 MSSQL_USER=sa MSSQL_PASSWORD="$SANDBOX_PASSWORD" MSSQL_DATABASE=source
export NODE_PATH="$work/node/node_modules"

pid=
stop() {
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" || { echo "the stand-in did not stop cleanly"; status=1; }
        pid=
    fi
}
status=0
trap stop EXIT INT TERM

witness() {
    echo "== $1"
    shift
    "$@" || status=1
}

for encrypt in 0 1; do
    options=
    [ "$encrypt" = 0 ] || options=--tls
    ready="$work/ready"
    : >"$ready"
    # shellcheck disable=SC2086
    "$sandbox" --listen 127.0.0.1:0 --user sa --password-env SANDBOX_PASSWORD --database source --database target $options \
        >"$ready" 2>"$work/sandbox.log" &
    pid=$!
    for _ in $(seq 100); do
        grep -q 'ready on' "$ready" && break
        kill -0 "$pid" 2>/dev/null || { echo "the stand-in did not start:"; cat "$work/sandbox.log"; exit 1; }
        sleep 0.1
    done
    MSSQL_PORT=$(sed -n 's/.*ready on .*:\([0-9]*\)$/\1/p' "$ready")
    export MSSQL_PORT MSSQL_ENCRYPT="$encrypt"
    kind=plain
    [ "$encrypt" = 0 ] || kind=TLS
    witness "pymssql, $kind" "$work/venv/bin/python" "$here/pymssql_client.py"
    # python-tds has no TLS without further packages.
    [ "$encrypt" = 1 ] || witness "python-tds, $kind" "$work/venv/bin/python" "$here/pytds_client.py"
    witness "tedious, $kind" node "$here/tedious_client.js"
    stop
done
exit "$status"
