/*
 * tests/unit/test_memfd.c - data that cannot change any more
 *
 * Runs in:   a test
 * Input:     memfds with and without seals, and what is none
 * May touch: its own descriptors
 * Must not:  leave one open
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "ipc/memfd.h"

static void sealed_for_good(void **state)
{
	CLEANUP(close_p) int fd = memfd_of("test", "data", 4);
	char text[8];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(memfd_sealed_size(fd), 4);
	assert_int_equal(pread(fd, text, sizeof(text), 0), 4);
	assert_memory_equal(text, "data", 4);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(pwrite(fd, "x", 1, 4), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 9), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	assert_int_equal(memfd_sealed_size(fd), 4);
}

static void filled_then_sealed(void **state)
{
	CLEANUP(close_p) int fd = memfd_open("test");

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(memfd_sealed_size(fd), -1);
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(memfd_seal(fd), 0);
	assert_int_equal(memfd_sealed_size(fd), 3);
}

static void empty(void **state)
{
	CLEANUP(close_p) int fd = memfd_of("test", NULL, 0);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(memfd_sealed_size(fd), 0);
}

/* A map that can be written was there before the seals: they are refused. */
static void writable_map(void **state)
{
	CLEANUP(close_p) int fd = memfd_open("test");
	void *map;

	(void)state;
	assert_int_equal(write(fd, "abc", 3), 3);
	map = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	assert_int_equal(memfd_seal(fd), -1);
	assert_int_equal(memfd_sealed_size(fd), -1);
	munmap(map, 3);
}

/* With any one seal missing its other holder could still change something. */
static void one_seal_missing(void **state)
{
	static const int seals[] = {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW,
				    F_SEAL_WRITE};

	(void)state;
	for (size_t missing = 0; missing <= ARRAY_SIZE(seals); missing++) {
		CLEANUP(close_p) int fd = memfd_open("test");
		int all = 0;

		for (size_t i = 0; i < ARRAY_SIZE(seals); i++)
			all |= i == missing ? 0 : seals[i];
		assert_int_equal(fcntl(fd, F_ADD_SEALS, all), 0);
		assert_int_equal(memfd_sealed_size(fd),
				 missing == ARRAY_SIZE(seals) ? 0 : -1);
	}
}

static void no_memfd(void **state)
{
	CLEANUP(close_p) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	CLEANUP(close_p) int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(memfd_sealed_size(null), -1);
	assert_int_equal(memfd_sealed_size(folder), -1);
	assert_int_equal(memfd_sealed_size(pipes[0]), -1);
	assert_int_equal(memfd_sealed_size(-1), -1);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sealed_for_good),
		cmocka_unit_test(filled_then_sealed),
		cmocka_unit_test(empty),
		cmocka_unit_test(writable_map),
		cmocka_unit_test(one_seal_missing),
		cmocka_unit_test(no_memfd),
	};

	return cmocka_run_group_tests_name("memfd", tests, NULL, NULL);
}
