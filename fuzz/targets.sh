# What the scripts of this folder share: the targets, where they are built, what their seeds are.

# For depth, `SANITIZER=address` (or thread, memory): built beside the others, by a nightly compiler, which has them.
sanitizer=${SANITIZER:-none}
if [ "$sanitizer" != none ]; then
    export RUSTUP_TOOLCHAIN=${NIGHTLY:-nightly} CARGO_TARGET_DIR=target/$sanitizer
fi
binaries=${CARGO_TARGET_DIR:-target}/$(rustc -vV | sed -n 's/^host: //p')/release
# Files that targets write stand in memory where there is such a file system.
memory=$([ -d /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")

all_targets() { sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | tail -n +2; }

# Test files whose bytes are an input of the target as they stand.
fixtures_of() {
    local files=../tests/files
    case $1 in
    safetensors | safetensors_agrees) echo "$files"/safetensors "$files"/malformed/safetensors ;;
    gguf) echo "$files"/gguf "$files"/malformed/gguf ;;
    pickle | torch) echo "$files"/malformed/pickle ;;
    tar) echo "$files"/malformed/tar ;;
    zip) echo "$files"/torch "$files"/malformed/{zip,torch} ;;
    detect | scan | inspect | convert | budget | accessors)
        echo "$files"/{safetensors,gguf,torch} "$files"/malformed/* ;;
    esac
}

# Every folder of seeds of a target.
seeds_of() {
    for folder in "seeds/$1" $(fixtures_of "$1"); do
        [ ! -d "$folder" ] || echo "$folder"
    done
}
