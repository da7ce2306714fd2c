#!/usr/bin/env bash
# Compiles the library for other processors and runs the tests of the decoders on an emulated Arm:
# `tests/other_targets.sh [TEST-FILTER]`, where the filter is `quant` unless given.
#
# What a machine lacks is named and left out. Debian has what the emulated run needs:
# `apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user`, and rustup the targets:
# `rustup target add aarch64-unknown-linux-gnu wasm32-unknown-unknown`.
set -euo pipefail
cd "$(dirname "$0")/.."
arm=aarch64-unknown-linux-gnu
targets=$(rustup target list --installed)

check() {
    local target=$1
    shift
    if ! grep -qx "$target" <<<"$targets"; then
        echo "== $target: not installed, left out"
        return
    fi
    echo "== $target $*"
    RUSTFLAGS="-D warnings" cargo check --lib --target "$target" "$@"
}
check "$arm"
check "$arm" --no-default-features
check aarch64-apple-darwin
check x86_64-pc-windows-gnu
check wasm32-unknown-unknown --no-default-features

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    if ! command -v "$tool" >/dev/null; then
        echo "== $tool is missing: tests on an emulated Arm left out"
        exit 0
    fi
done
grep -qx "$arm" <<<"$targets" || exit 0
echo "== tests on an emulated Arm"
cargo test --target "$arm" --lib "${1:-quant}"
