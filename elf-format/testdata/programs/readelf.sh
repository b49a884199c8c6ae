#!/bin/sh
# What readelf prints of the samples: the goldens of the tests.
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C
for file in programs/x86_64 programs/i386 programs/s390x cores/* qemu/i386-pae kernel/*.head; do
    case $file in *.txt) continue ;; esac
    readelf -hlW "$file" > "$file.headers.txt" 2> /dev/null
    readelf -n "$file" 2> /dev/null | grep -P '^  \S+ +0x' > "$file.notes.txt" || rm "$file.notes.txt"
done
