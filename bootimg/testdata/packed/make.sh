#!/bin/sh
# Makes the samples of this folder: the numbers from 1 to 6000, one a line, and 8 MiB of zeros, by each compressor in
# the way that kernels and their wrappers are compressed; and what xz has besides.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
seq 6000 > "$work/numbers"
head -c 8388608 /dev/zero > "$work/zeros"
for name in numbers zeros; do
	file=$work/$name
	gzip -n -9 < "$file" > "$name.gz"
	bzip2 -9 < "$file" > "$name.bz2"
	xz --check=crc32 --x86 --lzma2=dict=32MiB < "$file" > "$name.xz"
	lzma -9 < "$file" > "$name.lzma"
	lzop -9 < "$file" > "$name.lzo"
	zstd -q -19 < "$file" > "$name.zst"
done
# LZ4 packs zeros by 255 to 1 at best: 32 KiB, a bomb of no force.
lz4 -q -l -9 < "$work/numbers" > numbers.lz4-legacy
lz4 -q -f -9 --content-size -BX "$work/numbers" numbers.lz4
lz4 -q -9 -BD -B4096 < "$work/numbers" > numbers.linked.lz4
# With sums also of what is compressed.
lzop -9 -CC < "$work/numbers" > numbers.adler32.lzo
lzop -9 -CC --crc32 < "$work/numbers" > numbers.crc32.lzo
# Every check and several blocks; and bytes that all filters take for code, of which LZMA2 keeps most as they are.
for check in none crc64 sha256; do
	xz --check=$check < "$work/numbers" > "numbers.$check.xz"
done
xz --check=crc64 --block-size=8KiB < "$work/numbers" > numbers.blocks.xz
{
	# With a call of x86 and one of PowerPC, which the noise lacks.
	printf '\350\020\000\000\000\220\220\220\110\000\001\001\220\220\220\220'
	for number in $(seq 193 256); do
		echo "$number" | openssl dgst -sha256 -binary
	done
} > code
for filter in x86 powerpc ia64 arm armthumb sparc arm64 delta; do
	xz --check=crc32 --$filter --lzma2 < code > "code.$filter.xz"
done
