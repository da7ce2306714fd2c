#!/usr/bin/env bash
# Replays all seeds, then fuzzes: `fuzz/run.sh SECONDS [TARGET…]`; every target if none is named.
#
# Without a sanitizer, for volume, on whatever compiler is the default; for depth, with `SANITIZER=address`, which
# needs a nightly compiler. Overflow checks and debug assertions are on in both. Seeds are the test files
# themselves, and what fuzzing added to them, `fuzz/seeds/TARGET` (see `minimise.sh`).
#
# FUZZ_JOBS targets run at a time (2). MAX_LEN bounds the inputs, in bytes (65536): small ones are run more
# often. Prints executions for each target and in all; FUZZ_LOG names a file that gets the same lines.
set -euo pipefail
cd "$(dirname "$0")"
. ./targets.sh
seconds=${1:?seconds}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(all_targets)

cargo fuzz build -s "$sanitizer"
work=$(mktemp -d -p "$memory")
trap 'rm -rf "$work"' EXIT

# Replays the seeds of a target, then fuzzes it; says how many inputs were run.
fuzz() {
    local target=$1 log=$work/$1.log started=$SECONDS
    local options=(-timeout=10 -rss_limit_mb=2048 "-max_len=${MAX_LEN:-65536}" -verbosity=1
        "-artifact_prefix=artifacts/$target/" -print_final_stats=1)
    mkdir -p "corpus/$target" "artifacts/$target" "$work/$target"
    mapfile -t seeds < <(seeds_of "$target")
    export TMPDIR=$work/$target
    if ! { "$binaries/$target" "${options[@]}" -runs=0 "corpus/$target" "${seeds[@]}" &&
        "$binaries/$target" "${options[@]}" -max_total_time=$((seconds + SECONDS - started)) \
            "corpus/$target" "${seeds[@]}"; } >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "$target crashed: fuzz/artifacts/$target"
        touch "$work/failed"
        return
    fi
    local executions
    executions=$(awk '/number_of_executed_units/ { sum += $2 } END { print sum }' "$log")
    printf '%-22s %12d executions\n' "$target" "$executions" | tee -a "$work/executions" ${FUZZ_LOG:+"$FUZZ_LOG"}
}

for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "${FUZZ_JOBS:-2}" ]; do wait -n; done
    fuzz "$target" &
done
wait
[ ! -e "$work/failed" ] || exit 1
awk '{ sum += $2 } END { printf "%-22s %12d executions\n", "all", sum }' "$work/executions"
