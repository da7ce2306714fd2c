#!/usr/bin/env bash
# Moves what fuzzing found into `fuzz/seeds`: `fuzz/minimise.sh [TARGET…]`, after `fuzz/run.sh`.
#
# Keeps the smallest inputs that reach all code that seeds and corpus reach and the test files alone do
# not, named by the first ten digits of their digests; seeds with names of words stay. MAX_LEN bounds the
# inputs, in bytes (4096).
set -euo pipefail
cd "$(dirname "$0")"
. ./targets.sh
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(all_targets)

digests='.*/[0-9a-f]{10}'
for target in "${targets[@]}"; do
    work=$(mktemp -d -p "$memory")
    export TMPDIR=$work
    mkdir -p "$work/merged" "seeds/$target" "corpus/$target"
    # Reached by these, an input is not needed.
    for folder in $(seeds_of "$target"); do
        find "$folder" -regextype posix-extended -type f ! -name '*.err' ! -name '*.json' \
            ! -regex "$digests" -size -65536c
    done | while read -r file; do cp "$file" "$work/merged/named-$(basename "$file")"; done
    "$binaries/$target" -merge=1 -use_counters=0 -max_len="${MAX_LEN:-4096}" -timeout=10 -rss_limit_mb=2048 \
        "$work/merged" "seeds/$target" "corpus/$target" >"$work/log" 2>&1 || { tail "$work/log"; exit 1; }
    rm -f "$work/merged"/named-*
    find "seeds/$target" -regextype posix-extended -type f -regex "$digests" -delete
    for file in "$work/merged"/*; do
        [ ! -f "$file" ] || mv "$file" "seeds/$target/$(basename "$file" | cut -c 1-10)"
    done
    printf '%-22s %5d seeds\n' "$target" "$(find "seeds/$target" -type f | wc -l)"
    rm -rf "$work"
done
