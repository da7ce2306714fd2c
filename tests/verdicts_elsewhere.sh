#!/usr/bin/env bash
# The tables of `tests/verdicts.rs` on this machine, on 32 bits and in the other byte order, under Miri; fails if a
# verdict, a place of an error or a value of a tensor differs.
#
# What a machine lacks is named and left out: `rustup component add --toolchain nightly miri rust-src`.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "== no Miri: left out"
    exit 0
fi
folder=target/verdicts
mkdir -p "$folder"
export WEIGHBRIDGE_VERDICTS=1 MIRIFLAGS="-Zmiri-env-forward=WEIGHBRIDGE_VERDICTS ${MIRIFLAGS:-}"

# Only what is interpreted everywhere: rows of files print nothing.
lines() { grep '^verdict \|^test .* verdict ' "$1" | sed 's/^test .* verdict /verdict /' | sort >"$1.lines"; }

cargo test --test verdicts -- --nocapture --test-threads 1 >"$folder/native"
lines "$folder/native"
for target in x86_64-unknown-linux-gnu i686-unknown-linux-gnu s390x-unknown-linux-gnu; do
    echo "== $target"
    # Without rayon, whose queues Miri objects to; nothing here is large enough for threads.
    cargo +nightly miri test --no-default-features --test verdicts --target "$target" -- \
        --nocapture --test-threads 1 >"$folder/$target"
    lines "$folder/$target"
    cmp "$folder/native.lines" "$folder/$target.lines"
done
echo "== $(wc -l <"$folder/native.lines") rows, the same everywhere"
