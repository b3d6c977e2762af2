/*
 * ipc/base64_avx2.c - base64 in blocks, where the processor has AVX2
 *
 * Runs in:   frontend, worker, posternctl
 * Input:     bytes of any origin
 * May touch: the buffers it is handed
 * Must not:  know anything of padding or line ends: it leaves off in front of them
 *
 * Names of instructions: Intel Intrinsics Guide. A vector has two halves of 16 bytes, and
 * bytes move only within theirs; so each half holds 12 bytes, or 16 characters.
 */
#include "ipc/base64_impl.h"

#ifdef BASE64_AVX2
#include <immintrin.h>

#define AVX2 static inline __attribute__((target("avx2"), always_inline))

AVX2 __m256i all(char c)
{
	return _mm256_set1_epi8(c);
}

/* C in each byte of V that is greater than LIMIT, both as signed numbers; else 0. */
AVX2 __m256i if_above(__m256i v, char limit, char c)
{
	return _mm256_and_si256(_mm256_cmpgt_epi8(v, all(limit)), all(c));
}

/* ---- out ---- */

/* The bytes of each group of three as two words of 16 bits: 1 and 0, 2 and 1. */
AVX2 __m256i spread(const uint8_t *in)
{
	const __m256i order = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10));
	__m128i first = _mm_loadu_si128((const __m128i *)(const void *)in);
	__m128i second = _mm_loadu_si128((const __m128i *)(const void *)(in + 12));

	return _mm256_shuffle_epi8(_mm256_set_m128i(second, first), order);
}

/* A number of six bits in each byte. A shift by a distance of its own is a product. */
AVX2 __m256i sextets(__m256i v)
{
	__m256i odd = _mm256_and_si256(v, _mm256_set1_epi32(0x0fc0fc00));
	__m256i even = _mm256_and_si256(v, _mm256_set1_epi32(0x003f03f0));

	return _mm256_or_si256(_mm256_mulhi_epu16(odd, _mm256_set1_epi32(0x04000040)),
			       _mm256_mullo_epi16(even, _mm256_set1_epi32(0x01000010)));
}

/* The alphabet has five stretches; each differs from the one before by so much. */
AVX2 __m256i characters(__m256i v)
{
	__m256i shift = all('A');

	shift = _mm256_add_epi8(shift, if_above(v, 25, 'a' - 26 - 'A'));
	shift = _mm256_add_epi8(shift, if_above(v, 51, '0' - 52 - ('a' - 26)));
	shift = _mm256_add_epi8(shift, if_above(v, 61, '+' - 62 - ('0' - 52)));
	shift = _mm256_add_epi8(shift, if_above(v, 62, '/' - 63 - ('+' - 62)));
	return _mm256_add_epi8(v, shift);
}

__attribute__((target("avx2"))) size_t base64_encode_avx2(const uint8_t *in, size_t len,
							  uint8_t *out)
{
	size_t at = 0;

	/* 28 bytes are read for each 24. */
	for (; len - at >= 28; at += 24, out += 32)
		_mm256_storeu_si256((__m256i *)(void *)out,
				    characters(sextets(spread(in + at))));
	return at;
}

/* ---- in ---- */

/* C in each byte of V from FIRST to LAST, else 0; *KNOWN gets all bits there. */
AVX2 __m256i if_within(__m256i v, char first, char last, char c, __m256i *known)
{
	__m256i in = _mm256_and_si256(_mm256_cmpgt_epi8(v, all((char)(first - 1))),
				      _mm256_cmpgt_epi8(all((char)(last + 1)), v));

	*known = _mm256_or_si256(*known, in);
	return _mm256_and_si256(in, all(c));
}

/* What each character stands for; false if one of them is none of the alphabet. */
AVX2 bool values(__m256i *v)
{
	__m256i known = _mm256_setzero_si256();
	__m256i shift = if_within(*v, 'A', 'Z', -'A', &known);

	shift = _mm256_or_si256(shift, if_within(*v, 'a', 'z', 26 - 'a', &known));
	shift = _mm256_or_si256(shift, if_within(*v, '0', '9', 52 - '0', &known));
	shift = _mm256_or_si256(shift, if_within(*v, '+', '+', 62 - '+', &known));
	shift = _mm256_or_si256(shift, if_within(*v, '/', '/', 63 - '/', &known));
	*v = _mm256_add_epi8(*v, shift);
	return _mm256_movemask_epi8(known) == -1;
}

/* Four numbers of six bits are three bytes, at the lower end of each half. */
AVX2 __m256i joined(__m256i v)
{
	const __m256i order = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
	__m256i twelves = _mm256_maddubs_epi16(v, _mm256_set1_epi32(0x01400140));
	__m256i groups = _mm256_madd_epi16(twelves, _mm256_set1_epi32(0x00011000));

	return _mm256_shuffle_epi8(groups, order);
}

__attribute__((target("avx2"))) size_t base64_decode_avx2(const uint8_t *in, size_t len,
							  uint8_t *out)
{
	size_t at = 0;

	for (; len - at >= 32; at += 32, out += 24) {
		__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(in + at));

		if (!values(&v))
			break;
		/* The halves side by side: 24 bytes, of which 16 and 8 are stored. */
		v = _mm256_permutevar8x32_epi32(
			joined(v), _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
		_mm_storeu_si128((__m128i *)(void *)out, _mm256_castsi256_si128(v));
		_mm_storel_epi64((__m128i *)(void *)(out + 16),
				 _mm256_extracti128_si256(v, 1));
	}
	return at;
}
#endif
