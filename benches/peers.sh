#!/bin/bash
# peers.sh [DUMP]: the page walk, opening, and pages of compressed dumps, by one thread and by two, beside libkdumpfile (Debian's package), over the same
# addresses of the same dump, in turns, in one run; and then `cargo bench` with the peers that are crates.
# makedumpfile, where it is, makes the compressed forms of DUMP; else those of testdata/forms are read.
# Only addresses whose translation takes a walk are raced: no direct map, no kernel image.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dump=$(realpath "${1:-$here/../testdata/kdump.elf}")
rounds=10

cd "$here/.."
. .ci/lib.sh
packages gcc libc6-dev pkg-config libkdumpfile-dev

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2046
gcc -O2 -Wall -Wextra -pthread -o "$work/libkdumpfile" benches/peers/libkdumpfile.c $(pkg-config --cflags --libs libkdumpfile libaddrxlat)
cargo build --quiet --profile bench -p benches --bin translate --bin pages
target=$(target_dir)/release
for option in l c; do
    makedumpfile -$option -d 0 "$dump" "$work/kdump.$option" > /dev/null 2>&1 || rm -f "$work/kdump.$option"
done

best() { cut -d' ' -f1 "$work/$1.times" | sort -n | head -n 1; }
median() { cut -d' ' -f1 "$work/$1.times" | sort -n | sed -n "$((rounds / 2))p"; }

# The same translations, of tables that are mapped and of tables that come out of a cache of decoded pages.
"$target/translate" "$dump" > "$work/list"
for form in "$dump" "$work"/kdump.*; do
    [ -e "$form" ] || continue
    rm -f "$work"/*.times
    for _ in $(seq $rounds); do
        "$target/translate" "$form" "$work/list" >> "$work/ours.times"
        "$work/libkdumpfile" translate "$form" "$work/list" >> "$work/libkdumpfile.times"
    done
    if [ "$(cut -d' ' -f2 "$work"/*.times | sort -u | wc -l)" != 1 ]; then
        echo "the answers differ" >&2
        exit 1
    fi
    printf '\ntranslate, %d addresses of %s (ns a translation)\n' "$(wc -l < "$work/list")" "$form"
    printf '%10s %10s %9s\n' best median 'x ours'
    for who in ours libkdumpfile; do
        printf '%10s %10s %9s  %s\n' "$(best $who)" "$(median $who)" \
            "$(awk -v a="$(best $who)" -v b="$(best ours)" 'BEGIN { printf "%.2f", a / b }')" "$who"
    done
done

# Opening, and pages in order and at random. Forms that makedumpfile does not know here are the samples.
for form in "$dump" "$work"/kdump.* testdata/forms/{lzo,zlib,zstd}; do
    [ -e "$form" ] || continue
    "$target/pages" "$form" > "$work/order"
    shuf -n 20000 --random-source="$work/order" "$work/order" > "$work/random"
    for how in "order 1" "order 2" "random 1" "random 2"; do
        read -r list threads <<< "$how"
        rm -f "$work"/*.pages
        for _ in $(seq $rounds); do
            "$target/pages" "$form" "$work/$list" "$threads" >> "$work/ours.pages"
            "$work/libkdumpfile" pages "$form" "$work/$list" "$threads" >> "$work/libkdumpfile.pages"
        done
        if [ "$(cut -d' ' -f3 "$work"/*.pages | sort -u | wc -l)" != 1 ]; then
            echo "the pages differ" >&2
            exit 1
        fi
        best_of() { cut -d' ' -f"$2" "$work/$1.pages" | sort -n | head -n 1; }
        printf '\npages, %s, %d threads: %s (ns, best)\n%10s %10s %9s\n' "$list" "$threads" "$form" open page 'x ours'
        for who in ours libkdumpfile; do
            printf '%10s %10s %9s  %s\n' "$(best_of $who 1)" "$(best_of $who 2)" \
                "$(awk -v a="$(best_of $who 2)" -v b="$(best_of ours 2)" 'BEGIN { printf "%.2f", a / b }')" "$who"
        done
    done
done

VMCORE=$dump cargo bench --quiet -p benches --features peers
if [ -e "$work/kdump.l" ]; then
    VMCORE=$work/kdump.l cargo bench --quiet -p benches --features peers --bench walk
fi
