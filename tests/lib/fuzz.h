/*
 * tests/lib/fuzz.h - what fuzz targets have in common
 *
 * Runs in:   libFuzzer
 * Input:     none
 * May touch: memory
 * Must not:  be quiet where assert() is off
 *
 * A target says near its top, in a line `run: floor N`, how many edges it reaches at the
 * least: some nine tenths of what its corpus alone reaches. tests/run holds it to that.
 */
#ifndef POSTERN_TESTS_FUZZ_H
#define POSTERN_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(bool holds)
{
	if (!holds)
		abort();
}

#endif
