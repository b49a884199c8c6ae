#!/bin/bash
# image.sh DIR: puts Debian's current cloud kernel and a small initramfs into DIR as `vmlinuz` and `initrd`.
# Needs busybox-static, kexec-tools, cpio and a Debian package source.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../.ci/lib.sh"
mkdir -p "$1"
cd "$1"

current() { apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p'; }
fetch() { package=$(current) && [ -n "$package" ] && apt-get download -qq "$package" < /dev/null 2> apt.log; }
fetch || { as_root apt-get update -qq && fetch; } || unreached "Debian's current cloud kernel"
dpkg -x "$package"_*.deb kernel
cp kernel/boot/vmlinuz-* vmlinuz

mkdir -p root/{bin,sbin,lib,dev,proc,sys,tmp,modules}
cp "$here/init" root/init
cp "$(command -v busybox)" root/bin/busybox
for applet in $(busybox --list); do
	[ "$applet" = busybox ] || ln -sf busybox "root/bin/$applet"
done

# Our own command, for the guest that looks at its own memory, and what programs need.
programs=()
if [ -n "${KSCOPE:-}" ]; then
	strip -o root/bin/kscope "$KSCOPE"
	programs+=("$KSCOPE")
fi
kexec=$(PATH=$PATH:/sbin:/usr/sbin command -v kexec)
cp "$kexec" root/sbin/kexec
ln -s lib root/lib64
programs+=("$kexec")
# One at a time: of several, ldd prints the paths of the programs, too.
for library in $(printf '%s\n' "${programs[@]}" | xargs -n 1 ldd | grep -o '/[^ ]*'); do
	[ -e "root/lib/${library##*/}" ] || cp -L "$library" root/lib/
done

# In the order of their dependencies; what is missing is built in.
order=0
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk qemu_fw_cfg; do
	order=$((order + 1))
	for file in $(find kernel -name "$module.ko*"); do
		case $file in
		*.xz) xz -dc "$file" > "root/modules/$order-$module.ko" ;;
		*) cp "$file" "root/modules/$order-$module.ko" ;;
		esac
	done
done

(cd root && find . | LC_ALL=C sort | cpio -o -H newc --quiet | gzip -1) > initrd
tar cf boot.tar vmlinuz initrd
echo "image: $package, initramfs of $(stat -c %s initrd) bytes"
rm -rf kernel root ./*.deb apt.log
