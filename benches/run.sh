#!/usr/bin/env bash
# Measures icesync on this machine; see docs/BENCHMARKS.md.
#
#   benches/run.sh            everything; some minutes, 2 GB of disk under the temporary folder
#   benches/run.sh --quick    small sizes, to see that everything runs
#   benches/run.sh --json     one JSON object per measure on stdout: name, value, unit
#
# --only LETTERS measures a few of (a) to (n), --commits N sizes (l), --rows N sizes (l) and (n), --table mixed|narrow|text one of the tables. ICESYNC_PROFILE chooses the cargo profile of the build (default: release).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/prerequisites.sh
prerequisites >&2
profile="${ICESYNC_PROFILE:-release}"
folder="$profile"
[[ "$profile" == dev ]] && folder=debug
build_programs "$profile" icesync icesync-sandbox icesync-bench >&2
exec "${CARGO_TARGET_DIR:-target}/$folder/icesync-bench" "$@"
