#!/bin/bash
# kernel64k.sh FILE: builds what Debian does not have, an arm64 kernel with pages of 64 KiB and with virtual and physical addresses of 52 bits,
# from Debian's current kernel sources. In it is what the initramfs of foreign.sh needs, and QEMU's dumps to hold VMCOREINFO.
# A FILE that is newer than this script is left as it is.
# Needs gcc, libc6-dev, gcc-aarch64-linux-gnu, make, flex, bison, bc, xz-utils and a Debian package source.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../.ci/lib.sh"
image=$(realpath -m "$1")
[ ! "$image" -nt "$here/kernel64k.sh" ] || exit 0
options=(
	ARM64_64K_PAGES ARM64_VA_BITS_52 ARM64_PA_BITS_52 RANDOMIZE_BASE SLUB
	BLK_DEV_INITRD RD_GZIP BINFMT_ELF BINFMT_SCRIPT POSIX_TIMERS FUTEX MULTIUSER
	PRINTK TTY SERIAL_AMBA_PL011 SERIAL_AMBA_PL011_CONSOLE
	PROC_FS SYSFS DEVTMPFS SHMEM TMPFS
	# VMCOREINFO comes with /proc/kcore; the driver that hands it to QEMU asks for I/O ports, and these for PCI.
	KALLSYMS PROC_KCORE PCI FW_CFG_SYSFS
)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

current() { apt-cache depends linux-source | sed -n 's/.*Depends: \(linux-source-[0-9].*\)/\1/p'; }
fetch() { package=$(current) && [ -n "$package" ] && apt-get download -qq "$package" < /dev/null 2> apt.log; }
fetch || { as_root apt-get update -qq && fetch; } || unreached "Debian's current kernel sources"
dpkg -x "$package"_*.deb .
mkdir source
tar xf "usr/src/$package.tar.xz" -C source --strip-components=1
rm -rf usr ./*.deb

printf 'CONFIG_%s=y\n' "${options[@]}" > source/kernel/configs/guest.config
build() { make -s -C source -j "$(nproc)" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- "$@"; }
build tinyconfig guest.config > config.log 2>&1 || { cat config.log >&2; exit 1; }
# What it depends on may be missing: then an option is dropped without an error.
while read -r line; do
	grep -qxF "$line" source/.config || { echo "$package: no $line in .config" >&2; exit 1; }
done < source/kernel/configs/guest.config
build Image
mkdir -p "$(dirname "$image")"
cp source/arch/arm64/boot/Image "$image.part"
mv "$image.part" "$image"
echo "image: $package for arm64 with pages of 64 KiB, built in $SECONDS s"
