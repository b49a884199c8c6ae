/*
 * kdpeer DUMP info|vmcoreinfo|vtop|read: what libkdumpfile says about a dump, one answer a line.
 *
 *   info        format, architecture, page size
 *   vmcoreinfo  the note, as found
 *   vtop        stdin: kernel virtual addresses; out: VIRT PHYS, or VIRT - reason
 *   read        stdin: ADDRESS LENGTH, physical; out: ADDRESS crc32, or ADDRESS - reason
 *   peek        stdin: kernel virtual addresses; out: VIRT and the 8 bytes there as a number
 *
 * Build: cc -O2 -Wall -Wextra kdpeer.c -o kdpeer -lkdumpfile -laddrxlat -lz
 */
#include <fcntl.h>
#include <inttypes.h>
#include <libkdumpfile/addrxlat.h>
#include <libkdumpfile/kdumpfile.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void die(const char *what, const char *why)
{
	fprintf(stderr, "kdpeer: %s: %s\n", what, why);
	exit(1);
}

static void info(kdump_ctx_t *dump)
{
	const char *text;
	kdump_num_t number;

	if (!kdump_get_string_attr(dump, "file.format", &text))
		printf("format %s\n", text);
	if (!kdump_get_string_attr(dump, "arch.name", &text))
		printf("arch %s\n", text);
	if (!kdump_get_string_attr(dump, "linux.uts.release", &text))
		printf("release %s\n", text);
	if (!kdump_get_number_attr(dump, "arch.page_size", &number))
		printf("page_size %" PRIu64 "\n", (uint64_t)number);
}

static void vmcoreinfo(kdump_ctx_t *dump)
{
	char *raw;

	if (kdump_vmcoreinfo_raw(dump, &raw))
		die("vmcoreinfo", kdump_get_err(dump));
	fputs(raw, stdout);
	free(raw);
}

static void vtop(kdump_ctx_t *dump)
{
	addrxlat_ctx_t *ctx;
	addrxlat_sys_t *sys;
	char line[64];

	if (kdump_get_addrxlat(dump, &ctx, &sys))
		die("translation", kdump_get_err(dump));
	while (fgets(line, sizeof(line), stdin)) {
		addrxlat_fulladdr_t addr = {
			.addr = strtoull(line, NULL, 16),
			.as = ADDRXLAT_KVADDR,
		};
		addrxlat_addr_t virt = addr.addr;

		if (addrxlat_fulladdr_conv(&addr, ADDRXLAT_KPHYSADDR, ctx, sys))
			printf("%" PRIx64 " - %s\n", (uint64_t)virt, addrxlat_ctx_get_err(ctx));
		else
			printf("%" PRIx64 " %" PRIx64 "\n", (uint64_t)virt, (uint64_t)addr.addr);
	}
}

static void read_physical(kdump_ctx_t *dump)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		char *end;
		kdump_addr_t addr = strtoull(line, &end, 16);
		size_t wanted = strtoull(end, NULL, 16), length = wanted;
		unsigned char *bytes = malloc(wanted);

		if (!bytes)
			die("read", "out of memory");
		if (kdump_read(dump, KDUMP_MACHPHYSADDR, addr, bytes, &length) || length != wanted)
			printf("%" PRIx64 " - %s\n", (uint64_t)addr, kdump_get_err(dump));
		else
			printf("%" PRIx64 " %08lx\n", (uint64_t)addr, crc32(0, bytes, wanted));
		free(bytes);
	}
}

static void peek(kdump_ctx_t *dump)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		kdump_addr_t addr = strtoull(line, NULL, 16);
		uint64_t value;
		size_t length = sizeof(value);

		if (kdump_read(dump, KDUMP_KVADDR, addr, &value, &length))
			die("peek", kdump_get_err(dump));
		printf("%" PRIx64 " %" PRIx64 "\n", (uint64_t)addr, value);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(kdump_ctx_t *);
	} commands[] = {
		{ "info", info }, { "vmcoreinfo", vmcoreinfo }, { "vtop", vtop },
		{ "read", read_physical }, { "peek", peek },
	};
	kdump_ctx_t *dump;
	int fd;

	if (argc != 3)
		die("usage", "kdpeer DUMP info|vmcoreinfo|vtop|read|peek");
	fd = open(argv[1], O_RDONLY);
	if (fd < 0)
		die(argv[1], "cannot open");
	dump = kdump_new();
	if (!dump)
		die(argv[1], "out of memory");
	if (kdump_open_fd(dump, fd))
		die(argv[1], kdump_get_err(dump));
	if (kdump_set_string_attr(dump, "addrxlat.ostype", "linux"))
		die(argv[1], kdump_get_err(dump));
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(argv[2], commands[i].name) == 0) {
			commands[i].run(dump);
			return 0;
		}
	}
	die(argv[2], "unknown command");
}
