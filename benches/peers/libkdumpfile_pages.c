/* libkdumpfile's side of peers.sh: libkdumpfile_pages DUMP LIST reads the pages of the list (decimal frame numbers, one a
 * line), whole and in its order, and prints nanoseconds to open, nanoseconds a page, and the sum of what was read. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libkdumpfile/kdumpfile.h>

enum { MOST = 1 << 20, PAGE = 4096 };

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
	static unsigned long long frames[MOST];
	size_t count = 0;

	if (argc != 3)
		return fail("usage", "libkdumpfile_pages DUMP LIST");
	FILE *list = fopen(argv[2], "r");
	if (!list)
		return fail(argv[2], "cannot be opened");
	while (count < MOST && fscanf(list, "%llu", &frames[count]) == 1)
		count++;
	fclose(list);

	int fd = open(argv[1], O_RDONLY);
	unsigned long opens = 0;
	double start = seconds(), took;
	kdump_ctx_t *dump;
	do {
		dump = kdump_new();
		if (kdump_open_fd(dump, fd) != KDUMP_OK)
			return fail(argv[1], kdump_get_err(dump));
		kdump_free(dump);
		opens++;
		took = seconds() - start;
	} while (took < LONG_ENOUGH);
	double open_took = took / opens;

	dump = kdump_new();
	if (kdump_open_fd(dump, fd) != KDUMP_OK)
		return fail(argv[1], kdump_get_err(dump));
	unsigned long laps = 0;
	unsigned long long sum;
	start = seconds();
	do {
		sum = 0;
		for (size_t i = 0; i < count; i++) {
			static unsigned char page[PAGE];
			unsigned long long word;
			size_t length = PAGE;

			if (kdump_read(dump, KDUMP_MACHPHYSADDR, frames[i] * PAGE, page, &length) != KDUMP_OK)
				return fail("read", kdump_get_err(dump));
			memcpy(&word, page + PAGE - sizeof(word), sizeof(word));
			sum += word;
		}
		laps++;
		took = seconds() - start;
	} while (took < LONG_ENOUGH);
	printf("%.0f %.1f %llx\n", open_took * 1e9, took * 1e9 / ((double)laps * count), sum);
	return 0;
}
