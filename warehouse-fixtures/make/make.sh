#!/usr/bin/env bash
# Makes fixtures anew: those named, or all. They name one place, /tmp/icesync-fixture-0000000000000000, in all of their paths.
#
#   warehouse-fixtures/make/make.sh ICESYNC SANDBOX [FIXTURE...]
#
# ICESYNC and SANDBOX are the programs of the commit whose tables are wanted (ed76eea: `git worktree add`,
# `cargo build --release --workspace --bins`). Java, Maven and the Python packages come from tests/interop/setup.sh and
# tests/interop/spark/setup.sh. What damaged.py makes from icesync-mirror is always made anew.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
tables="$here/../tables"
place=/tmp/icesync-fixture-0000000000000000
programs=("$1" "$2")
shift 2

interop="$("$root/tests/interop/setup.sh")"
"$interop" -m pip install --quiet --disable-pip-version-check sqlalchemy==2.0.44
mapfile -t spark < <("$root/tests/interop/spark/setup.sh")
export ICESYNC_SPARK_JAR="${spark[1]}" PYSPARK_PYTHON="${spark[0]}" SPARK_LOCAL_IP=127.0.0.1

# Tests put fixtures at the place too.
exec 9>"$place.lock"
flock 9
rm -rf "$place" && mkdir "$place"

run() { # run WRITER COMMAND...: makes the fixtures of a writer that are wanted
    local writer="$1" named=() name
    shift
    for name in "${wanted[@]}"; do
        [[ "$name" != "$writer"-* ]] || named+=("$name")
    done
    if ((${#wanted[@]} == 0 || ${#named[@]})); then
        "$@" "${named[@]}"
    fi
}
wanted=("$@")
run pyiceberg "$interop" "$here/pyiceberg_tables.py" "$place"
run icesync "${spark[0]}" "$here/icesync_tables.py" "$place" "${programs[@]}"
run spark "${spark[0]}" "$here/spark.py" "$place"
[[ -d "$place/icesync-mirror" ]] || cp -R "$tables/icesync-mirror" "$place"
"$interop" "$here/damaged.py" "$place"

# Checksums of the Hadoop file system are of no use here.
find "$place" -name '.*.crc' -delete
if ((${#wanted[@]} == 0)); then
    rm -rf "$tables"
fi
mkdir -p "$tables" && rm -rf "$tables"/{hint,damaged,uuid}-*
for folder in "$place"/*; do
    rm -rf "${tables:?}/${folder##*/}" && cp -R "$folder" "$tables"
done
rm -rf "$place"
du -sh "$tables"
