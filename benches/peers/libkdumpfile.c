/* libkdumpfile's side of peers.sh:
 *
 *   libkdumpfile translate DUMP LIST        translates the kernel addresses of the list (hex, one a line); prints the
 *                                           nanoseconds each took and the sum of the answers
 *   libkdumpfile pages DUMP LIST [THREADS]  reads the pages of the list (decimal frame numbers, one a line), whole and
 *                                           in its order; prints nanoseconds to open, nanoseconds a page, and the sum
 *                                           of what was read. Of several threads each has a part of the list in a row
 *                                           and a clone of the dump, as its manual wants it; the clones share the cache
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libkdumpfile/addrxlat.h>
#include <libkdumpfile/kdumpfile.h>

enum { MOST = 1 << 20, PAGE = 4096, THREADS = 64 };

static const double LONG_ENOUGH = 0.3; /* seconds */

static unsigned long long list[MOST];
static size_t count;

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

static int read_list(const char *path, const char *form)
{
	FILE *file = fopen(path, "r");

	if (!file)
		return fail(path, "cannot be opened");
	while (count < MOST && fscanf(file, form, &list[count]) == 1)
		count++;
	fclose(file);
	return count ? 0 : fail(path, "nothing in it");
}

static int translate(const char *path, int fd)
{
	addrxlat_ctx_t *context;
	addrxlat_sys_t *system;
	unsigned long laps = 0;
	unsigned long long sum;

	kdump_ctx_t *dump = kdump_new();
	if (kdump_open_fd(dump, fd) != KDUMP_OK || kdump_set_string_attr(dump, "addrxlat.ostype", "linux") != KDUMP_OK ||
	    kdump_get_addrxlat(dump, &context, &system) != KDUMP_OK)
		return fail(path, kdump_get_err(dump));

	double start = seconds(), took;
	do {
		sum = 0;
		for (size_t i = 0; i < count; i++) {
			addrxlat_fulladdr_t at = { .addr = list[i], .as = ADDRXLAT_KVADDR };

			if (addrxlat_fulladdr_conv(&at, ADDRXLAT_KPHYSADDR, context, system) != ADDRXLAT_OK) {
				fprintf(stderr, "%llx: ", list[i]);
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

struct part {
	kdump_ctx_t *dump;
	const unsigned long long *frames;
	size_t count;
	double start;
	unsigned long laps;
	unsigned long long sum;
	int failed;
};

/* Reads the pages of its part again and again. */
static void *read_part(void *argument)
{
	struct part *part = argument;

	do {
		part->sum = 0;
		for (size_t i = 0; i < part->count; i++) {
			unsigned char page[PAGE];
			unsigned long long word;
			size_t length = PAGE;

			if (kdump_read(part->dump, KDUMP_MACHPHYSADDR, part->frames[i] * PAGE, page, &length) != KDUMP_OK) {
				part->failed = fail("read", kdump_get_err(part->dump));
				return NULL;
			}
			memcpy(&word, page + PAGE - sizeof(word), sizeof(word));
			part->sum += word;
		}
		part->laps++;
	} while (seconds() - part->start < LONG_ENOUGH);
	return NULL;
}

static int pages(const char *path, int fd, size_t threads)
{
	unsigned long opens = 0;
	kdump_ctx_t *dump;

	double start = seconds(), took;
	do {
		dump = kdump_new();
		if (kdump_open_fd(dump, fd) != KDUMP_OK)
			return fail(path, kdump_get_err(dump));
		kdump_free(dump);
		opens++;
		took = seconds() - start;
	} while (took < LONG_ENOUGH);
	double open_took = took / opens;

	dump = kdump_new();
	if (kdump_open_fd(dump, fd) != KDUMP_OK)
		return fail(path, kdump_get_err(dump));
	struct part parts[THREADS] = {0};
	pthread_t running[THREADS];
	size_t share = (count + threads - 1) / threads;
	start = seconds();
	for (size_t i = 0; i < threads; i++) {
		size_t first = i * share < count ? i * share : count;
		size_t left = count - first;

		parts[i].dump = i ? kdump_clone(dump, 0) : dump;
		parts[i].frames = list + first;
		parts[i].count = left < share ? left : share;
		parts[i].start = start;
		if (!parts[i].dump || (i && pthread_create(&running[i], NULL, read_part, &parts[i])))
			return fail("thread", "cannot be made");
	}
	read_part(&parts[0]);
	unsigned long long sum = parts[0].sum;
	double reads = (double)parts[0].laps * parts[0].count;
	int failed = parts[0].failed;
	for (size_t i = 1; i < threads; i++) {
		pthread_join(running[i], NULL);
		sum += parts[i].sum;
		reads += (double)parts[i].laps * parts[i].count;
		failed |= parts[i].failed;
	}
	took = seconds() - start;
	printf("%.0f %.1f %llx\n", open_took * 1e9, took * 1e9 / reads, sum);
	return failed;
}

int main(int argc, char **argv)
{
	size_t threads = argc == 5 ? strtoul(argv[4], NULL, 10) : 1;

	if (argc == 4 && !strcmp(argv[1], "translate"))
		return read_list(argv[3], "%llx") || translate(argv[2], open(argv[2], O_RDONLY));
	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "pages") && threads && threads <= THREADS)
		return read_list(argv[3], "%llu") || pages(argv[2], open(argv[2], O_RDONLY), threads);
	return fail("usage", "libkdumpfile translate DUMP LIST | pages DUMP LIST [THREADS]");
}
