#!/bin/bash
# The libraries' tests on a big-endian machine and on a 32-bit one, under qemu-user.
# Emulation is slow, so properties get a few cases each: what differs here is byte order and the size of usize, in every case.
# Debian's rustc-web comes with the source of its standard library, which is built for the target.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh

# Rust's target, and GNU's name of it. The first word is the machine's name everywhere.
MACHINES=("s390x-unknown-linux-gnu s390x-linux-gnu" "i686-unknown-linux-gnu i686-linux-gnu")

packages gcc libc6-dev qemu-user gcc-s390x-linux-gnu libc6-dev-s390x-cross gcc-i686-linux-gnu libc6-dev-i386-cross
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debian_rustc "$work" "" rust-web-src
selected=()
for library in $(libraries); do selected+=(-p "$library"); done
for machine in "${MACHINES[@]}"; do
	read -r target gnu <<< "$machine"
	qemu=${gnu%%-*}
	echo "test on $target"
	env_name=$(tr a-z- A-Z_ <<< "$target")
	env "CARGO_TARGET_${env_name}_LINKER=$gnu-gcc" \
		"CARGO_TARGET_${env_name}_RUNNER=qemu-${qemu/i686/i386} -L /usr/$gnu" \
		PROPTEST_CASES=16 RUSTC="$work/rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$work/target" \
		cargo test --quiet --locked -Zbuild-std --target "$target" "${selected[@]}" --lib --tests
done
