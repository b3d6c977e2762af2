/*
 * ipc/base64_impl.h - inside of base64; for ipc/base64*.c and their test only
 *
 * Runs in:   frontend, worker, posternctl
 * Input:     bytes of any origin
 * May touch: the buffers it is handed
 * Must not:  be what decides: base64.c takes up wherever these leave off
 *
 * Each does as many whole blocks from the beginning of IN as it can, and returns how many
 * bytes of IN that were; for 3 bytes there are 4 characters. It needs the instructions of
 * its name, which base64.c asks the processor for.
 */
#ifndef POSTERN_IPC_BASE64_IMPL_H
#define POSTERN_IPC_BASE64_IMPL_H

#include "ipc/base64.h"

#ifdef __x86_64__
#define BASE64_AVX2
size_t base64_encode_avx2(const uint8_t *in, size_t len, uint8_t *out);
size_t base64_decode_avx2(const uint8_t *in, size_t len, uint8_t *out);
#endif

#endif
