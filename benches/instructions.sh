#!/bin/bash
# instructions.sh: how many instructions a page walk and a listing take, as valgrind counts them: the same on a busy machine.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh
packages valgrind

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo build --quiet --profile bench -p benches --bin instructions
target=$(target_dir)/release
valgrind -q --tool=callgrind --callgrind-out-file="$work/out" "$target/instructions" > "$work/jobs"
callgrind_annotate --auto=no --inclusive=yes --threshold=100 "$work/out" > "$work/counts"
while read -r job operations; do
    awk -v job="instructions::$job" -v operations="$operations" \
        '$0 ~ job { gsub(",", "", $1); printf "%8.1f  %s\n", $1 / operations, job; found = 1; exit } END { exit !found }' "$work/counts"
done < "$work/jobs"
