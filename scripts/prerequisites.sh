# Sourced by demo/run.sh, benches/run.sh, scripts/test.sh and .ci/run.
# `prerequisites` makes sure that the programs of a build are there: as root on a machine with apt-get it installs what is
# missing, elsewhere it says what to install and stops.

prerequisites() {
    local missing=()
    command -v cc >/dev/null && command -v c++ >/dev/null && command -v make >/dev/null || missing+=(build-essential)
    command -v perl >/dev/null || missing+=(perl)
    if ! command -v python3 >/dev/null; then
        missing+=(python3 python3-venv)
    elif ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=(python3-venv)
    fi
    if ((${#missing[@]})); then
        if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
            echo "installing ${missing[*]}" >&2
            apt-get update -qq >&2
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
        else
            echo "missing: ${missing[*]} (names of Debian packages). Install them and try again." >&2
            return 1
        fi
    fi
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        echo "python3 is $(python3 --version 2>&1); 3.10 or later is needed." >&2
        return 1
    fi

    if ! command -v cargo >/dev/null && [[ -f "${CARGO_HOME:-$HOME/.cargo}/env" ]]; then
        # shellcheck disable=SC1091
        . "${CARGO_HOME:-$HOME/.cargo}/env"
    fi
    if ! command -v cargo >/dev/null; then
        echo "missing: Rust. Install it with rustup (version 1.95 or later) and try again." >&2
        return 1
    fi
    local version
    version="$(cargo --version | cut -d' ' -f2)"
    if [[ "$(printf '%s\n' 1.95.0 "${version%%-*}" | sort -V | head -1)" != 1.95.0 ]]; then
        echo "Rust is $version; 1.95 or later is needed: rustup update stable" >&2
        return 1
    fi
}

# build_programs PROFILE PACKAGE...: the programs of these packages. With profile dev those of all, along with the tests: what `cargo test` has built is
# then used again, where programs alone would have their dependencies built anew, with fewer features.
build_programs() {
    local profile="$1"
    shift
    if [[ "$profile" == dev ]]; then
        cargo build --locked --workspace --bins --tests
    else
        cargo build --locked --profile "$profile" "${@/#/--package=}" --bins
    fi
}
