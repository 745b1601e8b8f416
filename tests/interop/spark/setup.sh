#!/usr/bin/env bash
# Makes what Spark needs: target/spark-venv (PySpark, pymssql), the Iceberg runtime under target/spark, and as root on a machine with
# apt-get also Java and Maven. Prints the path of the Python, then that of the jar. Does nothing that is done already.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
venv="${ICESYNC_SPARK_VENV:-$root/target/spark-venv}"
runtime=iceberg-spark-runtime-3.5_2.12
version=1.10.0
jar="$root/target/spark/$runtime-$version.jar"

missing=()
command -v java >/dev/null || missing+=(default-jre-headless)
[[ -f "$jar" ]] || command -v mvn >/dev/null || missing+=(maven)
if ((${#missing[@]})); then
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]} (names of Debian packages). Install them and try again." >&2
        exit 1
    fi
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

if [[ ! -f "$jar" ]]; then
    mkdir -p "${jar%/*}"
    mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
        -Dartifact="org.apache.iceberg:$runtime:$version" -DoutputDirectory="${jar%/*}" >&2
fi
if ! cmp -s "$here/requirements.txt" "$venv/requirements.installed"; then
    rm -rf "$venv"
    python3 -m venv "$venv" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$venv/requirements.installed"
fi
echo "$venv/bin/python"
echo "$jar"
