#!/usr/bin/env bash
# Spark on icesync's lake: reads it, maintains it, rolls it back and writes to it between syncs (cases.py).
#
#   tests/interop/spark/run.sh [CASE]...
#
# Needs the programs of a build: ICESYNC_BIN and ICESYNC_SANDBOX, else those of target/debug. ICESYNC_INTEROP_PYTHON names the Python
# of the other readers (tests/interop/setup.sh). Exit code 0 only when every case passed.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
target="${CARGO_TARGET_DIR:-$root/target}"
export ICESYNC_BIN="${ICESYNC_BIN:-$target/debug/icesync}" ICESYNC_SANDBOX="${ICESYNC_SANDBOX:-$target/debug/icesync-sandbox}"
export ICESYNC_INTEROP_PYTHON="${ICESYNC_INTEROP_PYTHON:-$("$here/../setup.sh")}"
mapfile -t made < <("$here/setup.sh")
[[ ${#made[@]} == 2 ]] || exit 1
work="$root/target/spark/work"
rm -rf "$work" && mkdir -p "$work"
export ICESYNC_SPARK_JAR="${made[1]}" PYSPARK_PYTHON="${made[0]}" SPARK_LOCAL_IP=127.0.0.1
export STAND_IN_PASSWORD='Spark-0nly!'

"$ICESYNC_SANDBOX" --listen 127.0.0.1:0 --user sa --password-env STAND_IN_PASSWORD --database source --database target \
    --snapshot-isolation >"$work/sandbox.out" 2>"$work/sandbox.log" &
sandbox=$!
trap 'kill "$sandbox" 2>/dev/null || true' EXIT
for _ in $(seq 300); do
    grep -q ' ready on ' "$work/sandbox.out" && break
    kill -0 "$sandbox" 2>/dev/null || { echo "the stand-in did not start: $(cat "$work/sandbox.log")"; exit 1; }
    sleep 0.1
done
STAND_IN_PORT="$(sed -n 's/.* ready on .*:\([0-9]*\)$/\1/p' "$work/sandbox.out")"
export STAND_IN_PORT
"${made[0]}" "$here/cases.py" "$work" "$@"
