#!/bin/bash
# Each library, default features and what else it promises, with the oldest compiler of the workspace (`rust-version` of Cargo.toml).
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh

version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packages gcc libc6-dev
debian_rustc "$work" "$version."
# check CRATE [FEATURES]
check() {
	echo "check $1 with ${2:-default features}"
	# Nothing is run, so the derive macros need no optimising.
	RUSTC=$work/rustc CARGO_TARGET_DIR=$work/target cargo check --quiet --locked -p "$1" ${2:+--features "$2"} \
		--config 'profile.dev.package."*".opt-level=0'
}
for library in $(libraries); do check "$library"; done
# All decoders in Rust but zstd's, which needs a newer one.
check bootimg gzip,bzip2,lz4,lzo,xz
check vmcore-format zlib,lzo,snappy
