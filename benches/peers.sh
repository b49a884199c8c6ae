#!/bin/bash
# peers.sh [DUMP]: the page walk beside that of libkdumpfile (Debian's package), over the same addresses of the same
# dump, in turns, in one run; and then `cargo bench` with the peers that are crates.
# Only addresses whose translation takes a walk are raced: no direct map, no kernel image.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dump=$(realpath "${1:-$here/../testdata/kdump.elf}")
rounds=10

if ! pkg-config --exists libkdumpfile libaddrxlat 2> /dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev pkg-config libkdumpfile-dev > /dev/null
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here/.."
# shellcheck disable=SC2046
gcc -O2 -Wall -Wextra -o "$work/libkdumpfile" benches/peers/libkdumpfile.c $(pkg-config --cflags --libs libkdumpfile libaddrxlat)
cargo build --quiet --profile bench -p benches --bin translate
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
ours=$target/release/translate

"$ours" "$dump" > "$work/list"
for _ in $(seq $rounds); do
    "$ours" "$dump" "$work/list" >> "$work/ours.times"
    "$work/libkdumpfile" "$dump" "$work/list" >> "$work/libkdumpfile.times"
done
if [ "$(cut -d' ' -f2 "$work"/*.times | sort -u | wc -l)" != 1 ]; then
    echo "the answers differ" >&2
    exit 1
fi

best() { cut -d' ' -f1 "$work/$1.times" | sort -n | head -n 1; }
median() { cut -d' ' -f1 "$work/$1.times" | sort -n | sed -n "$((rounds / 2))p"; }
printf '\ntranslate, %d addresses of %s (ns a translation)\n' "$(wc -l < "$work/list")" "$dump"
printf '%10s %10s %9s\n' best median 'x ours'
for who in ours libkdumpfile; do
    printf '%10s %10s %9s  %s\n' "$(best $who)" "$(median $who)" \
        "$(awk -v a="$(best $who)" -v b="$(best ours)" 'BEGIN { printf "%.2f", a / b }')" "$who"
done

VMCORE=$dump cargo bench --quiet -p benches --features peers
