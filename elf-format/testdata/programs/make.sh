#!/bin/sh
# Builds the programs, lets each of them dump core, and cuts every core behind its notes. Needs GNU as and
# ld for x86-64, i686 and s390x, and qemu-user; run it as root on x86-64 with `core` as core_pattern.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
as -mx86-used-note=yes x86_64.s -o "$work/x86_64.o"
ld --build-id -z noseparate-code "$work/x86_64.o" -o x86_64
i686-linux-gnu-as i386.s -o "$work/i386.o"
i686-linux-gnu-ld -N "$work/i386.o" -o i386
s390x-linux-gnu-as s390x.s -o "$work/s390x.o"
s390x-linux-gnu-ld -N "$work/s390x.o" -o s390x
python3 foreign.py
cp x86_64 i386 s390x arm arm64 mips mips64 ppc ppc64 ppc64le loongarch64 "$work"
here=$PWD
cd "$work"
ulimit -c unlimited
for name in x86_64 i386; do
    chroot . "/$name" || mv core "$name.core"
done
for pair in s390x:s390x arm:arm arm64:aarch64 mips:mips mips64:mips64 ppc:ppc ppc64:ppc64 ppc64le:ppc64le loongarch64:loongarch64; do
    name=${pair%:*}
    "qemu-${pair#*:}" "./$name" || mv "qemu_${name}_"*.core "$name.core"
done
for name in x86_64 i386 s390x arm arm64 mips mips64 ppc ppc64 ppc64le loongarch64; do
    # Offset and length of the notes, as readelf tells them.
    end=$(readelf -lW "$name.core" | awk '$1 == "NOTE" { print $2 "+" $5 }')
    head -c $(($end)) "$name.core" > "$here/../cores/$name"
done
rm -r "$work"
