#!/bin/bash
# foreign.sh ARCHITECTURE DIR PACKAGE...: puts the kernel of each Debian PACKAGE (a name without version) and one small initramfs of
# another architecture into DIR, as `PACKAGE` and `initrd`. The machine's own package database stays as it is.
# Needs cpio, xz-utils and a Debian package source.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../.ci/lib.sh"
architecture=$1 dir=$2
shift 2
mkdir -p "$dir"
cd "$dir"

# apt-get and apt-cache of that architecture, with lists of their own, from where this machine gets its packages.
apt() {
	"apt-$1" -o "APT::Architecture=$architecture" -o "APT::Architectures::=$architecture" \
		-o "Dir::State=$PWD/apt" -o "Dir::State::status=$PWD/apt/status" -o "Dir::Cache=$PWD/apt" \
		-o "Dir::Etc::sourcelist=$PWD/apt/sources.list" -o "Dir::Etc::sourceparts=/dev/null" "${@:2}" < /dev/null
}

archive=$(debian_archive)

# fetch SUITE PACKAGE...: downloads the packages and, for a kernel, the ones that its metapackage stands for.
fetch() {
	local suite=$1 wanted=() name
	shift
	mkdir -p apt/lists/partial apt/archives/partial
	: > apt/status
	echo "deb [signed-by=$DEBIAN_KEYS] $archive $suite main" > apt/sources.list
	apt get update -qq 2> apt.log || return 1
	for name in "$@"; do
		wanted+=("$(resolve "$name")") || return 1
	done
	# shellcheck disable=SC2068,SC2086 # several names a word
	apt get download -qq ${wanted[@]} 2> apt.log
}

# The package that holds what NAME stands for: kernels are split in a binary and its modules from 7.0 on.
resolve() {
	local found=$1 next
	while next=$(apt cache depends "$found" 2> /dev/null | sed -n 's/^ *Depends: \(linux-\(image\|binary\)-[0-9].*\)/\1/p' | head -n 1) && [ -n "$next" ]; do
		found=$next
	done
	[ -n "$(apt cache show "$found" 2> /dev/null)" ] && echo "$found"
}

# What stable lacks, testing may have, its index being rebuilt less often, or oldstable, where there were 32-bit PCs.
for suite in stable testing oldstable; do
	fetch "$suite" busybox-static "$@" && break
	suite=
done
[ -n "$suite" ] || { cat apt.log >&2; unreached "Debian packages for $architecture: $*"; }

for name in "$@"; do
	dpkg -x "$(resolve "$name")"_*.deb kernel
	cp "$(find kernel -name 'vmlinu[xz]*' -type f | sed -n 1p)" "$name"
	# With it, QEMU's dumps hold VMCOREINFO; one of each kernel, which takes no other's.
	find kernel -name 'qemu_fw_cfg.ko*' -exec cp {} "module.$name" \;
	echo "image: $(resolve "$name") of $suite"
	rm -rf kernel
done

mkdir -p root/{bin,dev,proc,sys,tmp,modules}
for module in module.*; do
	[ ! -e "$module" ] || xz -dcf "$module" > "root/modules/$module"
done
dpkg -x busybox-static_*.deb busybox
cp busybox/*bin/busybox root/bin/busybox 2> /dev/null || cp busybox/usr/bin/busybox root/bin/busybox
cat > root/init <<'END'
#!/bin/busybox sh
# A process with pages of its own, so that user space is mapped too; then the host looks at the machine.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
for module in /modules/*; do insmod "$module" 2> /dev/null; done
(text=$(yes 'a page of user space' | head -c 60000); sleep 1000) &
head -c 4000000 /dev/urandom > /tmp/random
sleep 1
echo "guest: vmcoreinfo $(cat /sys/kernel/vmcoreinfo)"
echo "guest: swapper_pg_dir $(grep -w swapper_pg_dir /proc/kallsyms)"
echo "guest: ready"
while :; do sleep 1000; done
END
chmod +x root/init
(cd root && find . | LC_ALL=C sort | cpio -o -H newc --quiet | gzip -1) > initrd
rm -rf root busybox apt ./*.deb apt.log module.*
