#!/usr/bin/env bash
# The tables of `tests/verdicts.rs` on this machine, on 32 bits and in the other byte order; fails if a verdict, a
# place of an error or a value of a tensor differs. The unit tests, every fixture and the malformed files run there too.
#
# What a machine lacks is named and left out. Debian has what it needs:
# `apt-get install gcc-s390x-linux-gnu gcc-i686-linux-gnu qemu-user`.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=target/verdicts
mkdir -p "$folder"
export WEIGHBRIDGE_VERDICTS=1
export CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc
export CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER="qemu-s390x -L /usr/s390x-linux-gnu"
export CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER=i686-linux-gnu-gcc
export CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_RUNNER="qemu-i386 -L /usr/i686-linux-gnu"

# Where no file is mapped, so that all machines read alike.
run() {
    cargo test --no-default-features --lib --test verdicts --test agreement --test malformed --target "$1" -- \
        --nocapture --test-threads 1 >"$folder/$1" </dev/null
    grep '^verdict \|^test .* verdict ' "$folder/$1" | sed 's/^test .* verdict /verdict /' | sort >"$folder/$1.lines"
}

host=$(rustc -vV | sed -n 's/^host: //p')
echo "== $host"
run "$host"
while read -r target compiler emulator; do
    if ! command -v "$compiler" >/dev/null || ! command -v "$emulator" >/dev/null; then
        echo "== $target: $compiler or $emulator is missing, left out"
        continue
    fi
    echo "== $target"
    rustup target add "$target"
    run "$target"
    cmp "$folder/$host.lines" "$folder/$target.lines"
done <<'END'
s390x-unknown-linux-gnu s390x-linux-gnu-gcc qemu-s390x
i686-unknown-linux-gnu i686-linux-gnu-gcc qemu-i386
END
echo "== $(wc -l <"$folder/$host.lines") rows, the same everywhere"
