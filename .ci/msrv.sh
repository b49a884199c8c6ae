#!/bin/bash
# Each library, default features, with the oldest compiler the workspace promises (`rust-version` of Cargo.toml).
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh

version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packages gcc libc6-dev
debian_rustc "$work" "$version."
for library in $(libraries); do
	echo "check $library"
	# Nothing is run, so the derive macros need no optimising.
	RUSTC=$work/rustc CARGO_TARGET_DIR=$work/target cargo check --quiet --locked -p "$library" \
		--config 'profile.dev.package."*".opt-level=0'
done
