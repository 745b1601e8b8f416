#!/usr/bin/env bash
# Logins by Kerberos on both planes, against a realm made for this test: a KDC of MIT Kerberos on 127.0.0.1, a user with a keytab, and
# the stand-in, which takes the tickets with a keytab of its own. Messages and exit codes are checked where there is no ticket or an
# expired one, an unknown service or realm, a user without a login, a server that does not prove itself, and a KDC that is away or silent.
#
#   tests/kerberos/run.sh
#
# Builds the programs with their feature `kerberos`; ICESYNC_BIN and ICESYNC_SANDBOX name others that have it. As root on a machine with
# apt-get it installs what is missing; elsewhere it says SKIPPED and what is missing. Everything is made under target/kerberos. Exit code
# 0 only when every check held, or with SKIPPED.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
work="$root/target/kerberos"
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8

missing() { # the Debian packages that are missing
    command -v krb5kdc >/dev/null && command -v kdb5_util >/dev/null || echo krb5-kdc
    command -v kadmin.local >/dev/null || echo krb5-admin-server
    command -v kinit >/dev/null || echo krb5-user
    if [[ -z "${ICESYNC_BIN:-}" || -z "${ICESYNC_SANDBOX:-}" ]]; then
        echo '#include <gssapi/gssapi.h>' | cc -E - >/dev/null 2>&1 || echo libkrb5-dev
        compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || [[ -n "${LIBCLANG_PATH:-}" ]] || echo libclang-dev
    fi
}

mapfile -t packages < <(missing)
if ((${#packages[@]})) && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing ${packages[*]}"
    {
        apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
    } >/dev/null 2>&1 || true
    mapfile -t packages < <(missing)
fi
if ((${#packages[@]})); then
    echo "SKIPPED: logins by Kerberos (missing: ${packages[*]}; names of Debian packages)"
    exit 0
fi

rm -rf "$work" && mkdir -p "$work/bin"
if [[ -z "${ICESYNC_BIN:-}" || -z "${ICESYNC_SANDBOX:-}" ]]; then
    # --examples: there are none, but dependencies then have the features that tests give them, and are not built again.
    (cd "$root" && cargo build --locked --workspace --bins --examples --features icesync/kerberos,icesync-sandbox/kerberos)
    # Copies, because the next build without the feature puts its programs in the same place.
    built="${CARGO_TARGET_DIR:-$root/target}/debug"
    cp "$built/icesync" "$built/icesync-sandbox" "$work/bin/"
    ICESYNC_BIN="$work/bin/icesync" ICESYNC_SANDBOX="$work/bin/icesync-sandbox"
fi

realm=ICESYNC.TEST
kdc=
stand_in=
clean_up() {
    [[ -z "$stand_in" ]] || kill "$stand_in" 2>/dev/null || true
    stop_kdc
    wait
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
stop_kdc() {
    [[ -n "$kdc" ]] || return 0
    kill "$kdc" 2>/dev/null || true
    kill -CONT "$kdc" 2>/dev/null || true
    wait "$kdc" 2>/dev/null || true
    kdc=
}
stop() { # stop: the message names what did not start
    echo "FAILED: $*"
    exit 1
}

# The realm. Nothing of it is looked up in DNS, and no file of the system is read or written.
kdc_port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
export KRB5_CONFIG="$work/krb5.conf" KRB5_KDC_PROFILE="$work/kdc.conf" KRB5CCNAME="FILE:$work/tickets"
export KRB5_KTNAME="$work/service.keytab" KRB5RCACHENAME="file2:$work/replays"
unset KRB5_CLIENT_KTNAME KRB5_TRACE
cat >"$KRB5_CONFIG" <<END
[libdefaults]
    default_realm = $realm
    default_client_keytab_name = FILE:$work/none.keytab
    dns_canonicalize_hostname = false
    dns_lookup_kdc = false
    dns_lookup_realm = false
    qualify_shortname = ""
    rdns = false
    udp_preference_limit = 1
[realms]
    $realm = {
        kdc = 127.0.0.1:$kdc_port
    }
END
cat >"$KRB5_KDC_PROFILE" <<END
[kdcdefaults]
    kdc_listen = 127.0.0.1:$kdc_port
    kdc_tcp_listen = 127.0.0.1:$kdc_port
[realms]
    $realm = {
        acl_file = $work/kadm5.acl
        database_name = $work/principals
        key_stash_file = $work/stash
        max_life = 1h
    }
[logging]
    kdc = FILE:$work/kdc.log
END
kdb5_util create -s -r "$realm" -P "$(python3 -c 'import secrets; print(secrets.token_hex(16))')" >"$work/realm.log" 2>&1 ||
    stop "no realm was made: $(cat "$work/realm.log")"
principal() { # principal NAME KEYTAB: adds it, with a key that nobody knows
    kadmin.local -r "$realm" addprinc -randkey "$1" >>"$work/realm.log" 2>&1 &&
        kadmin.local -r "$realm" ktadd -k "$2" "$1" >>"$work/realm.log" 2>&1 || stop "no principal $1: $(tail -5 "$work/realm.log")"
}
principal loader "$work/loader.keytab"
principal stranger "$work/stranger.keytab"

ticket() { # ticket USER [OPTION...]
    kdestroy -q 2>/dev/null || true
    kinit "${@:2}" -k -t "$work/$1.keytab" "$1@$realm" 2>"$work/kinit.log"
}
start_kdc() {
    krb5kdc -n -r "$realm" -P "$work/kdc.pid" >"$work/kdc.out" 2>&1 &
    kdc=$!
    local tries=0
    until ticket loader; do
        kill -0 "$kdc" 2>/dev/null || stop "the KDC ended: $(cat "$work/kdc.out" "$work/kdc.log")"
        ((++tries < 100)) || stop "the KDC gives no ticket: $(cat "$work/kinit.log")"
        sleep 0.1
    done
}
start_kdc

# The stand-in: empty each time, on the same port, because the port is part of the service's name.
for table in t t2 t3 t4 t5 t6 t7 t8; do
    printf '%s\n' "CREATE TABLE dbo.$table (id int NOT NULL PRIMARY KEY, v nvarchar(20))" GO \
        "INSERT dbo.$table VALUES (1, N'a'), (2, N'b'), (3, N'c')" GO
done >"$work/init.sql"
STAND_IN_PASSWORD="$(python3 -c 'import secrets; print("S-" + secrets.token_hex(12))')"
export STAND_IN_PASSWORD
port=0
start_stand_in() { # start_stand_in [OPTION...]
    if [[ -n "$stand_in" ]]; then
        kill "$stand_in"
        wait "$stand_in" 2>/dev/null || true
    fi
    : >"$work/ready"
    "$ICESYNC_SANDBOX" --listen "127.0.0.1:$port" --password-env STAND_IN_PASSWORD --database source --database target \
        --snapshot-isolation --tls --certificate "$work/certificate.pem" --principal "loader@$realm" --init "$work/init.sql" \
        "$@" >"$work/ready" 2>>"$work/stand_in.log" &
    stand_in=$!
    local tries=0
    until grep -q ' ready on ' "$work/ready"; do
        kill -0 "$stand_in" 2>/dev/null || stop "the stand-in ended: $(tail -5 "$work/stand_in.log")"
        ((++tries < 300)) || stop "the stand-in is not ready"
        sleep 0.1
    done
    port="$(sed -n 's/.* ready on .*:\([0-9]*\)$/\1/p' "$work/ready")"
}
start_stand_in
principal "MSSQLSvc/localhost:$port" "$KRB5_KTNAME"

cat >"$work/icesync.yaml" <<'END'
source: { connection: "${ICESYNC_SOURCE}" }
warehouse: { location: ./warehouse }
target: { connection: "${ICESYNC_TARGET}" }
retry: { max_elapsed: 0s, attempts: 1 }
tables:
  - source: dbo.t
END
sed 's/max_elapsed: 0s, attempts: 1/max_elapsed: 30s, attempts: 1/' "$work/icesync.yaml" >"$work/patient.yaml"
{
    sed 's/^\(source\|target\): {/& parallel_tables: 8,/' "$work/icesync.yaml"
    printf '  - source: dbo.%s\n' t2 t3 t4 t5 t6 t7 t8
} >"$work/many.yaml"
checks=0
failed=0
check() { # check NAME EXIT_CODE SETTINGS COMMAND TEXT...: the command's exit code, and texts that it prints
    local name="$1" expected="$2" settings="$3" command="$4" code=0 text wrong=()
    shift 4
    local log="$work/${name// /-}.log"
    # shellcheck disable=SC2086
    (cd "$work" && env ICESYNC_SOURCE="$settings;Database=source" ICESYNC_TARGET="$settings;Database=target" \
        "$ICESYNC_BIN" $command) >"$log" 2>&1 || code=$?
    ((code == expected)) || wrong+=("exit code $code, not $expected")
    for text in "$@"; do
        grep -qF -- "$text" "$log" || wrong+=("it does not say \`$text\`")
    done
    ! grep -qF "$STAND_IN_PASSWORD" "$log" || wrong+=("it prints a password")
    ((checks += 1))
    if ((${#wrong[@]})); then
        failed=1
        printf 'FAILED: %s: %s\n' "$name" "$(IFS=,; echo "${wrong[*]}")"
        sed 's/^/    /' "$log"
    else
        echo "passed: $name"
    fi
}
silent() { # silent: no warning of a login to any server
    ! grep -qF "whoever answers" "$work/${1// /-}.log" || { failed=1; echo "FAILED: $1: it warns of any server"; }
}
within() { # within NAME SECONDS COMMAND...: runs the command, which has to end in time
    local began=$SECONDS
    "${@:3}"
    ((SECONDS - began <= $2)) || { failed=1; echo "FAILED: $1: $((SECONDS - began)) s, more than $2 s"; }
}
verified="Server=localhost,$port;Integrated Security=SSPI"
login="$verified;TrustServerCertificate=true"
short="$login;Connect Timeout=2"
moves() { # moves NAME SETTINGS [OPTION...]: from the source through the lake to the target, and the target read back
    start_stand_in
    rm -rf "$work/warehouse"
    check "$1" 0 "$2" "sync ${*:3}"
    check "$1, verified" 0 "$2" "state verify ${*:3}"
    [[ -n "$(find "$work/warehouse" -name '*.parquet' 2>/dev/null)" ]] || { failed=1; echo "FAILED: $1: no rows in the lake"; }
}
retries() { # retries NAME: attempts that the run printed
    grep -qF "trying again" "$work/${1// /-}.log" || { failed=1; echo "FAILED: $1: nothing was tried again"; }
}

ticket loader
moves "ticket cache" "$login"
check "warning of any certificate" 0 "$login" sync "\`TrustServerCertificate\` is true and the login is by Kerberos" "whoever answers"
check "warning of no certificate" 0 "${login/TrustServerCertificate=true/Encrypt=false}" sync \
    "\`Encrypt\` is false and the login is by Kerberos" "Encrypt=true"
export SSL_CERT_FILE="$work/certificate.pem"
moves "verified certificate" "$verified"
silent "verified certificate"
cp "$SSL_CERT_FILE" "$work/other.pem"
start_stand_in
SSL_CERT_FILE="$work/other.pem" check "another certificate" 1 "$verified" sync "TLS with localhost:$port failed"
unset SSL_CERT_FILE
kdestroy -q
export KRB5_CLIENT_KTNAME="$work/loader.keytab"
moves "client keytab, encryption of the login only" "${login/TrustServerCertificate=true/Encrypt=false}"
for cache in "FILE:$work/many" MEMORY:many; do
    KRB5CCNAME="$cache" moves "logins side by side, ${cache%%:*}" "$login" --config many.yaml
done
unset KRB5_CLIENT_KTNAME
ticket loader
named="Server=127.0.0.1,$port;Trusted_Connection=yes;TrustServerCertificate=true;Server SPN=MSSQLSvc/localhost:$port"
moves "named service" "$named"
moves "named realm, the user's" "$named@$realm"
sed "s/default_realm = .*/default_realm = OTHER.TEST/" "$KRB5_CONFIG" >"$work/default.conf"
KRB5_CONFIG="$work/default.conf" check "named realm, not of the control plane" 1 "$named@$realm" sync "with Kerberos" \
    "MSSQLSvc/localhost:$port@$realm" "the driver of the control plane asks for tickets of OTHER.TEST" "default_realm = $realm" KRB5_CONFIG
{
    cat "$KRB5_CONFIG"
    printf '[domain_realm]\n    localhost = OTHER.TEST\n'
} >"$work/domain.conf"
KRB5_CONFIG="$work/domain.conf" check "named realm, not of the data plane" 1 "$named@$realm" sync "with Kerberos" \
    "the driver of the data plane asks for tickets of OTHER.TEST" "\`localhost = $realm\` under [domain_realm]"
sed "/default_realm/d" "$KRB5_CONFIG" >"$work/none.conf"
KRB5_CONFIG="$work/none.conf" check "no default realm" 1 "$login" sync \
    "does not specify default realm" "\`default_realm\` under [libdefaults]"

check "unknown service" 1 "${login/localhost/127.0.0.1}" sync "cannot log in to 127.0.0.1:$port with Kerberos" \
    "Server MSSQLSvc/127.0.0.1:$port@$realm not found" setspn "Server SPN"
check "password beside the ticket" 2 "$login;User ID=sa;Password=$STAND_IN_PASSWORD" sync "the Kerberos ticket is the login"
KRB5_KTNAME="$work/stranger.keytab" start_stand_in
check "server without the service's key" 1 "$login" sync "login to localhost:$port refused" 18452 "Extended Protection is not Required"
start_stand_in --false-proof
check "server without proof" 1 "$login" sync "with Kerberos" "did not prove that the ticket is for it" "setspn -Q"
start_stand_in
ticket stranger
check "user without a login" 1 "$login" sync "login to localhost:$port refused" "stranger@$realm" "with a Kerberos ticket"
kdestroy -q
check "no ticket" 1 "$login" sync "with Kerberos" "No Kerberos credentials available" "FILE:$work/tickets" kinit KRB5_CLIENT_KTNAME
(
    sleep 0.6
    ticket loader
) &
late=$!
moves "ticket that is being replaced" "$login"
wait "$late"
ticket loader -l 1s
sleep 3
check "expired ticket" 1 "$login" sync "with Kerberos" "Ticket expired" kinit klist

# The KDC stops answering: before the first ticket for the service, and when the cache holds it, but the driver of the data plane asks for
# one to pass on.
ticket loader
kill -STOP "$kdc"
within "silent KDC" 15 check "silent KDC" 75 "$short" sync "with Kerberos" "no answer from the KDC within 2 s" krb5.conf
kill -CONT "$kdc"
ticket loader -f
moves "forwardable ticket" "$short"
kill -STOP "$kdc"
within "silent KDC, cached ticket" 25 check "silent KDC, cached ticket" 75 "$short" sync "with Kerberos" "no answer from the KDC within 5 s"
kill -CONT "$kdc"
ticket loader
stop_kdc
check "no KDC" 75 "$login" sync "with Kerberos" "Cannot contact any KDC" krb5.conf
(
    sleep 3
    exec krb5kdc -n -r "$realm" -P "$work/kdc.pid" >"$work/kdc.out" 2>&1
) &
kdc=$!
moves "KDC that comes back" "$login" --config patient.yaml
retries "KDC that comes back"

((failed == 0)) || exit 1
echo "logins by Kerberos: $checks checks passed"
