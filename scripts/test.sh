#!/usr/bin/env bash
# All tests: the Rust tests (with DuckDB, PyIceberg and Polars reading what they write), logins by Kerberos against a KDC, strangers'
# SQL Server clients against the stand-in, and every T-SQL statement through Microsoft's parser. Sets up what it needs under target/.
#
#   scripts/test.sh
#
# The integration tests run three times: their databases allow snapshots, have READ_COMMITTED_SNAPSHOT, have neither. Of the 500 random
# schedules of loads, as many changing tables of each strategy, and 2000 random tables each time has a share of its own.
# ICESYNC_TEST_ISOLATION (snapshot, read-committed-snapshot or read-committed) chooses one of the three, with all of 500 schedules, 2000
# tables, and 60 changing tables of each strategy. ICESYNC_TEST_MSSQL names a real server to run them against (docs/GUIDE.md). A test that cannot run here says SKIPPED, and the last lines count those. Exit code 0 only when nothing failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/prerequisites.sh
prerequisites

target="${CARGO_TARGET_DIR:-$PWD/target}"
logs="$PWD/target/test-logs"
rm -rf "$logs" && mkdir -p "$logs"
summary=()
failed=0

step() { # step NAME COMMAND...: runs it, keeps its output in a log, shows what matters
    local name="$1" log="$logs/${1// /-}.log" started=$SECONDS
    shift
    printf '\n-- %s\n' "$name"
    if "$@" 2>&1 | tee "$log" | important; then
        summary+=("$(printf '%-36s passed  %4d s' "$name" $((SECONDS - started)))")
    else
        failed=1
        # The failures' own output, which the filter left out.
        awk '/^failures:|^error/ {shown = 1} shown && lines++ < 200' "$log"
        summary+=("$(printf '%-36s FAILED  %4d s  (%s)' "$name" $((SECONDS - started)) "${log#"$PWD/"}")")
    fi
}

important() {
    grep --line-buffered -E '^(running |test result|error|warning|REJECTED)|^ +(Running|Doc-tests|Finished)|FAILED|panicked|SKIPPED|passed|failed|^Ran ' || true
}

rust_tests() { cargo test --workspace --locked --no-fail-fast -- --show-output; }

integration_tests() { cargo test --workspace --test it --locked --no-fail-fast -- --show-output; }

share() { # ISOLATION SEED SCHEDULES TABLES NAME COMMAND: one of the three times
    ICESYNC_TEST_ISOLATION="$1" ICESYNC_MODEL_SEED="${ICESYNC_MODEL_SEED:-$2}" ICESYNC_RANDOM_SEED="${ICESYNC_RANDOM_SEED:-$2}" \
        ICESYNC_MODEL_SCHEDULES="${ICESYNC_MODEL_SCHEDULES:-$3}" ICESYNC_RANDOM_TABLES="${ICESYNC_RANDOM_TABLES:-$4}" step "${@:5}"
}

ICESYNC_INTEROP_PYTHON="$(tests/interop/setup.sh)"
export ICESYNC_INTEROP_PYTHON
step "comparison of readers" "$ICESYNC_INTEROP_PYTHON" -m unittest discover -s tests/interop -p 'test_*.py'
if [[ -n "${ICESYNC_TEST_ISOLATION:-}" ]]; then
    step "rust tests" rust_tests
else
    share snapshot 2026 200 800 "rust tests" rust_tests
    share read-committed-snapshot 2027 150 600 "integration read-committed-snapshot" integration_tests
    share read-committed 2028 150 600 "integration read-committed" integration_tests
fi
if [[ -z "${ICESYNC_TEST_MSSQL:-}" ]]; then
    echo "SKIPPED: integration tests against a real server (ICESYNC_TEST_MSSQL is not set)" | tee "$logs/real-server.log"
fi

# Before the programs are built that the rest uses: it builds others in their place.
step "logins by Kerberos" tests/kerberos/run.sh
build_programs dev
export ICESYNC_SANDBOX="$target/debug/icesync-sandbox"
step "clients of other makers" tests/interop/clients/run.sh
step "Spark on the lake" env ICESYNC_BIN="$target/debug/icesync" tests/interop/spark/run.sh
step "statements in ScriptDom" python3 tests/tsql_parse/parse.py

rust_passed="$(find "$logs" \( -name 'rust-tests.log' -o -name 'integration-*.log' \) -exec cat {} + | awk '/^test result/ {total += $4} END {print total + 0}')"
skipped="$(cat "$logs"/*.log | grep -c 'SKIPPED' || true)"
printf '\n-- summary\n'
printf '%s\n' "${summary[@]}"
echo "$rust_passed Rust tests passed; statements: $(tail -1 "$logs/statements-in-ScriptDom.log"); SKIPPED: $skipped"
if ((skipped)); then
    grep -h 'SKIPPED' "$logs"/*.log | sort | uniq -c
fi
((failed == 0)) || exit 1
