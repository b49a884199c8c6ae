#!/bin/bash
# The libraries are no_std, dependencies included: they are checked against a sysroot that holds core (and alloc) only.
# With an explicit --target, RUSTFLAGS reach the target alone: build scripts and derive macros keep the host's std.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh

# Work without an allocator. The others need `alloc` for owned tables.
NO_ALLOC=(physmem elf-format e820 bootimg page-walk vmcore-format)

target=$(rustc -vV | sed -n 's/^host: //p')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# sysroot NAME CRATE...: a sysroot that holds no other crate of the standard library.
sysroot() {
	local folder=$work/$1/lib/rustlib/$target/lib crate
	mkdir -p "$folder"
	for crate in "${@:2}"; do
		ln -s "$(rustc --print sysroot)/lib/rustlib/$target/lib/lib$crate"-*.{rlib,rmeta} "$folder/" 2> /dev/null || true
	done
	rm -f "$folder"/*'*'*
}
sysroot core core compiler_builtins rustc_std_workspace_core
sysroot alloc core alloc compiler_builtins rustc_std_workspace_core rustc_std_workspace_alloc

# The proof can fail: what needs std, or alloc, does not build where it is not.
compiles() {
	printf '%s\n' "$2" |
		rustc --sysroot "$work/$1" --target "$target" --edition 2024 --crate-type lib --emit metadata \
			-o "$work/probe.rmeta" - 2> "$work/probe.log"
}
refuses() {
	if compiles "$1" "$2"; then
		echo "the sysroot of $1 has more than $1" >&2
		exit 1
	fi
	grep -q "can't find crate for \`$3\`" "$work/probe.log" || { cat "$work/probe.log" >&2; exit 1; }
}
compiles core '#![no_std] pub fn f() -> Option<u8> { None }' || { cat "$work/probe.log" >&2; exit 1; }
compiles alloc '#![no_std] extern crate alloc; pub use alloc::vec::Vec;' || { cat "$work/probe.log" >&2; exit 1; }
refuses core 'pub use std::fs::File;' std
refuses alloc 'pub use std::fs::File;' std
refuses core '#![no_std] extern crate alloc; pub use alloc::vec::Vec;' alloc

# check SYSROOT CRATE [FEATURES]
check() {
	echo "$2 with ${3:-no features}: nothing but $1"
	RUSTFLAGS="--sysroot $work/$1 -D warnings" cargo check --quiet --locked --target "$target" -p "$2" \
		--no-default-features ${3:+--features "$3"}
}
has_alloc() {
	cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys
[package] = [p for p in json.load(sys.stdin)["packages"] if p["name"] == sys.argv[1]]
sys.exit("alloc" not in package["features"])' "$1"
}
for library in $(libraries); do
	case " ${NO_ALLOC[*]} " in
	*" $library "*) check core "$library" ;;
	*) check alloc "$library" ;;
	esac
	if has_alloc "$library"; then check alloc "$library" alloc; fi
done
# Codecs are where dependencies come from. The native ones are C, and no part of the promise.
check core bootimg gzip,lzo
check alloc bootimg gzip,lz4,lzo,xz,zstd
check alloc vmcore-format zlib,lzo,snappy,zstd
