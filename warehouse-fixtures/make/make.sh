#!/usr/bin/env bash
# Makes all fixtures anew. They name one place, /tmp/icesync-fixture-0000000000000000, in all of their paths.
#
#   warehouse-fixtures/make/make.sh ICESYNC SANDBOX
#
# ICESYNC and SANDBOX are the programs of the commit whose tables are wanted (ed76eea: `git worktree add`, `cargo build --workspace --bins`).
# Java, Maven and the Python packages come from tests/interop/setup.sh and tests/interop/spark/setup.sh.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
place=/tmp/icesync-fixture-0000000000000000
rm -rf "$place" && mkdir "$place"

interop="$("$root/tests/interop/setup.sh")"
"$interop" -m pip install --quiet --disable-pip-version-check sqlalchemy==2.0.44
mapfile -t spark < <("$root/tests/interop/spark/setup.sh")
export ICESYNC_SPARK_JAR="${spark[1]}" PYSPARK_PYTHON="${spark[0]}" SPARK_LOCAL_IP=127.0.0.1

"$interop" "$here/pyiceberg_tables.py" "$place"
"${spark[0]}" "$here/icesync_tables.py" "$place" "$1" "$2"
"${spark[0]}" "$here/spark.py" "$place"

# Checksums of the Hadoop file system, and metadata that no current metadata names, are of no use here.
find "$place" -name '.*.crc' -delete
rm -rf "$here/../tables" && cp -R "$place" "$here/../tables" && rm -rf "$place"
du -sh "$here/../tables"
