#!/usr/bin/env bash
# Fuzzes every target for some seconds: `fuzz/run.sh SECONDS [TARGET…]`.
#
# Without a sanitizer and on the stable compiler, for volume; overflow checks and debug assertions
# are on. For depth: `cargo +nightly fuzz run TARGET` adds AddressSanitizer. Seeds are the test files
# themselves and `fuzz/seeds`.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?seconds}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | tail -n +2)
fi
for target in "${targets[@]}"; do
    corpus=corpus/$target
    mkdir -p "$corpus"
    seeds=()
    format=${target%_agrees}
    for folder in "seeds/$target" "../tests/files/$format" "../tests/files/malformed/$format"; do
        [ -d "$folder" ] && seeds+=("$folder")
    done
    if [ "$target" = detect ] || [ "$target" = zip ] || [ "$target" = scan ]; then
        seeds+=(../tests/files/torch ../tests/files/gguf ../tests/files/safetensors ../tests/files/malformed/pickle)
    fi
    echo "== fuzz $target, $seconds s"
    cargo fuzz run -s none "$target" "$corpus" "${seeds[@]}" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -verbosity=1 \
        -print_final_stats=1 2>&1 | { grep -E 'panicked|ERROR|SUMMARY|artifact|stat::number_of_executed_units|stat::peak_rss|Test unit written' || true; }
    if [ -n "$(ls -A "artifacts/$target" 2>/dev/null)" ]; then
        echo "a crash of $target stands in fuzz/artifacts/$target"
        exit 1
    fi
done
