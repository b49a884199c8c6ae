#!/bin/bash
# fuzz.sh [SECONDS]: every target of fuzz/ for SECONDS (10), from its seeds, overflow checks and debug assertions on.
# On a stable compiler there is no sanitizer: what is hunted are panics, broken laws and hangs.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh
seconds=${1:-10}
# Linked once a target: without LTO all of them build in two minutes rather than twenty, and run as often a second.
export RUST_BACKTRACE=0 CARGO_PROFILE_RELEASE_LTO=off

packages g++ libc6-dev
command -v cargo-fuzz > /dev/null || cargo install --locked --quiet cargo-fuzz || unreached "cargo-fuzz"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
options=(--sanitizer none --debug-assertions --features libfuzzer)
cargo fuzz build "${options[@]}" 2> "$work/log" || { tail -n 40 "$work/log" >&2; exit 1; }
run=0
for target in $(cargo fuzz list); do
	# New inputs go to the first folder, the seeds are only read.
	mkdir "$work/$target"
	cargo fuzz run "${options[@]}" "$target" "$work/$target" "fuzz/seeds/$target" -- \
		-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 > "$work/log" 2>&1 ||
		{ grep -a -A 1 -e "panicked at" -e "ERROR: " -e "^artifact_prefix" "$work/log" >&2; exit 1; }
	echo "$target: $(tail -n 1 "$work/log"), from $(find "fuzz/seeds/$target" -type f | wc -l) seeds"
	run=$((run + 1))
done
[ "$run" -gt 0 ] || { echo "fuzz/ has no target" >&2; exit 1; }
