#!/bin/sh
# Makes the samples of this folder with mkimage: images, and beside each what `mkimage -l` prints of it.
set -eu
cd "$(dirname "$0")"
export SOURCE_DATE_EPOCH=1700000000 TZ=UTC
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'a kernel of its own, 35 bytes long\n' > "$work/kernel"
printf 'abc' > "$work/three"
printf 'echo hello\n' > "$work/script"
head -c 300 /dev/zero > "$work/zeros"

make() {
	name=$1
	shift
	(cd "$work" && mkimage "$@" image > /dev/null)
	mv "$work/image" "$name.img"
	mkimage -l "$name.img" > "$name.txt"
}
make kernel -A arm -O linux -T kernel -C none -a 8000 -e 8040 -n 'Linux-6.1 armmp' -d kernel
make noload -A arm64 -O linux -T kernel_noload -C gzip -a 0 -e 40 -n 'in place' -d kernel
make ramdisk -A ppc -O linux -T ramdisk -C zstd -n 'a name of more than thirty-two bytes' -d zeros
make standalone -A riscv -O u-boot -T standalone -C lzo -a ffffffff -e 1 -d three
make firmware -A mips64 -O openrtos -T firmware -C lzma -n '' -d zeros
make filesystem -A x86_64 -O freebsd -T filesystem -C bzip2 -n 'Größe' -d kernel
make script -A arm -O linux -T script -C none -n 'boot script' -d script
make multi -A arm -O linux -T multi -C none -a 8000 -e 8000 -n multi -d kernel:three:script
make multi-one -A or1k -O efi -T multi -C lz4 -n one -d three
make defaults -d kernel
# Only read: mkimage fills up to the vector table and more.
make ivt -A arm -O tee -T firmware_ivt -C none -a 8000 -e 8000 -n ivt -d three
head -c 64 ivt.img > ivt.head
rm ivt.img
