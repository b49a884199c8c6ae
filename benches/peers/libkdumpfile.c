/* libkdumpfile's side of peers.sh: libkdumpfile DUMP LIST translates the kernel addresses of the list (hex, one a
 * line) and prints the nanoseconds each took and the sum of the answers. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <libkdumpfile/addrxlat.h>
#include <libkdumpfile/kdumpfile.h>

enum { MOST = 1 << 16 };

static const double LONG_ENOUGH = 0.3; /* seconds */

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why ? why : "failed");
	return 1;
}

int main(int argc, char **argv)
{
	static addrxlat_addr_t addresses[MOST];
	size_t count = 0;
	unsigned long laps = 0;
	unsigned long long sum = 0;
	unsigned long long address;

	if (argc != 3)
		return fail("usage", "libkdumpfile DUMP LIST");
	FILE *list = fopen(argv[2], "r");
	if (!list)
		return fail(argv[2], "cannot be opened");
	while (count < MOST && fscanf(list, "%llx", &address) == 1)
		addresses[count++] = address;
	fclose(list);
	if (!count)
		return fail(argv[2], "no addresses");

	kdump_ctx_t *dump = kdump_new();
	if (kdump_open_fd(dump, open(argv[1], O_RDONLY)) != KDUMP_OK)
		return fail(argv[1], kdump_get_err(dump));
	if (kdump_set_string_attr(dump, "addrxlat.ostype", "linux") != KDUMP_OK)
		return fail(argv[1], kdump_get_err(dump));
	addrxlat_ctx_t *context;
	addrxlat_sys_t *system;
	if (kdump_get_addrxlat(dump, &context, &system) != KDUMP_OK)
		return fail(argv[1], kdump_get_err(dump));

	double start = seconds(), took;
	do {
		sum = 0;
		for (size_t i = 0; i < count; i++) {
			addrxlat_fulladdr_t at = { .addr = addresses[i], .as = ADDRXLAT_KVADDR };

			if (addrxlat_fulladdr_conv(&at, ADDRXLAT_KPHYSADDR, context, system) != ADDRXLAT_OK) {
				fprintf(stderr, "%llx: ", (unsigned long long)addresses[i]);
				return fail("translation", addrxlat_ctx_get_err(context));
			}
			sum += at.addr;
		}
		laps++;
		took = seconds() - start;
	} while (took < LONG_ENOUGH);
	printf("%.2f %llx\n", took * 1e9 / ((double)laps * count), sum);
	return 0;
}
