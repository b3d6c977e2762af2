/*
 * tests/unit/test_scan_json.c - what the scanner takes for JSON, and what not
 *
 * Runs in:   a test
 * Input:     cases after the manner of JSONTestSuite; the table is our own
 * May touch: memory
 * Must not:  let an exception stand that is not named as one
 *
 * Names begin as in that suite:
 *
 *   y_  JSON, and taken          n_  no JSON, and refused
 *   i_  JSON leaves it to the reader; the name says what we do
 *
 * and two kinds of our own, where the wire is not JSON (protocol 1.2, 1.6; json/scan.c):
 *
 *   wy_  no JSON, but taken      wn_  JSON, but refused
 *
 * Each text is scanned in three ways, each as a whole and byte by byte: as the value of a
 * member, as an element of a list in one, and by itself. By itself only an object is a
 * request; another value that is JSON is answered by an error that says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "json/scan.h"

struct json_case {
	const char *name;
	const char *text;
	size_t len;
};
#define C(name, text) {name, text, sizeof(text) - 1},

/* clang-format off */
static const struct json_case cases[] = {
	/* ---- arrays ---- */
	C("y_array_empty", "[]")
	C("y_array_blank_inside", "[ ]")
	C("y_array_all_blanks", " [\t1\r,\n2 ] ")
	C("y_array_empty_string", "[\"\"]")
	C("y_array_of_arrays", "[[],[[]],[[],[]]]")
	C("y_array_all_kinds", "[null,true,false,1,\"1\",{},[]]")
	C("y_array_ends_with_line_end", "[1\n]")
	C("y_array_begins_with_blank", "[ 1]")
	C("y_array_several_null", "[1,null,null,null,2]")
	C("y_array_ends_with_blank", "[2] ")
	C("n_array_no_comma", "[1 true]")
	C("n_array_strings_no_comma", "[\"a\" \"b\"]")
	C("n_array_colon", "[\"\":1]")
	C("n_array_colon_for_comma", "[1:2]")
	C("n_array_semicolon", "[1;2]")
	C("n_array_comma_behind", "[\"\"],")
	C("n_array_comma_alone", "[,]")
	C("n_array_comma_first", "[,1]")
	C("n_array_double_comma", "[1,,2]")
	C("n_array_double_comma_last", "[\"x\",,]")
	C("n_array_extra_close", "[\"x\"]]")
	C("n_array_trailing_comma", "[1,]")
	C("n_array_several_trailing_commas", "[1,,]")
	C("n_array_trailing_comma_line_end", "[1,\n]")
	C("n_array_unclosed", "[1")
	C("n_array_unclosed_comma", "[1,")
	C("n_array_unclosed_in_array", "[[1]")
	C("n_array_unclosed_object", "[{}")
	C("n_array_unclosed_line_ends", "[1,\n1\n,1")
	C("n_array_open_in_array", "[3[4]]")
	C("n_array_inner_without_comma", "[1[]]")
	C("n_array_star", "[*]")
	C("n_array_just_minus", "[-]")
	C("n_array_invalid_byte", "[a\xe5]")
	C("n_array_invalid_utf8", "[\xff]")
	C("n_array_vertical_tab", "[\"\x0b""a\"\\f]")
	C("n_array_form_feed_between", "[1,\x0c""2]")
	C("n_array_closed_by_brace", "[1}")
	C("n_array_key_value", "[\"a\":1]")
	C("n_array_number_and_letters", "[1a]")
	C("n_array_dots", "[...]")
	C("n_array_parentheses", "(1)")

	/* ---- objects ---- */
	C("y_object_empty", "{}")
	C("y_object_blank_inside", "{ }")
	C("y_object_one", "{\"a\":1}")
	C("y_object_several", "{\"a\":1,\"b\":2,\"c\":3}")
	C("y_object_all_blanks", " {\t\"a\"\r:\n1 , \"b\" : 2 } ")
	C("y_object_empty_key", "{\"\":0}")
	C("y_object_escaped_key", "{\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\":0}")
	C("y_object_key_of_utf8", "{\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\":0}")
	C("y_object_nested", "{\"a\":{\"b\":{\"c\":[{\"d\":{}}]}}}")
	C("y_object_same_key_elsewhere", "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}")
	C("y_object_keys_by_case", "{\"a\":1,\"A\":2}")
	C("y_object_keys_by_blank", "{\"a\":1,\"a \":2}")
	C("y_object_keys_by_form", "{\"\xc3\xa9\":1,\"e\xcc\x81\":2}")
	C("y_object_long_numbers", "{\"min\":-1.0e+28,\"max\":1.0e+28}")
	C("y_object_long_string", "{\"x\":[{\"id\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}]}")
	C("y_object_value_spans_lines", "{\"a\":\n\n1\n}")
	C("y_object_kind_of_key", "{\"1\":1,\"null\":null,\"true\":true,\"{}\":{}}")
	C("wn_object_duplicate_key", "{\"a\":1,\"a\":2}")
	C("wn_object_duplicate_key_and_value", "{\"a\":1,\"a\":1}")
	C("wn_object_duplicate_key_by_escape", "{\"a\":1,\"\\u0061\":2}")
	C("wn_object_duplicate_empty_key", "{\"\":1,\"\":2}")
	C("wn_object_duplicate_key_inside", "{\"a\":{\"b\":1,\"b\":2}}")
	C("wn_object_nul_in_key", "{\"a\\u0000b\":1}")
	C("n_object_bad_value", "{\"a\":truth}")
	C("n_object_bracket_key", "{[:1}")
	C("n_object_array_key", "{[]:1}")
	C("n_object_object_key", "{{}:1}")
	C("n_object_number_key", "{1:1}")
	C("n_object_large_number_key", "{9999E9999:1}")
	C("n_object_null_key", "{null:1}")
	C("n_object_bare_key", "{a:1}")
	C("n_object_bare_quoted_at_end", "{a\":1}")
	C("n_object_comma_for_colon", "{\"a\",1}")
	C("n_object_double_colon", "{\"a\"::1}")
	C("n_object_no_colon", "{\"a\" 1}")
	C("n_object_no_value", "{\"a\":}")
	C("n_object_only_key", "{\"a\"}")
	C("n_object_no_key", "{:1}")
	C("n_object_comma_only", "{,}")
	C("n_object_comma_first", "{,\"a\":1}")
	C("n_object_double_comma", "{\"a\":1,,\"b\":2}")
	C("n_object_trailing_comma", "{\"a\":1,}")
	C("n_object_several_trailing_commas", "{\"a\":1,,,,,}")
	C("n_object_no_comma", "{\"a\":1 \"b\":2}")
	C("n_object_semicolon", "{\"a\":1;\"b\":2}")
	C("n_object_equals", "{\"a\"=1}")
	C("n_object_colon_again", "{\"a\":1:2}")
	C("n_object_member_without_value", "{\"a\":\"b\",\"c\"}")
	C("n_object_unclosed", "{\"a\":1")
	C("n_object_unclosed_no_value", "{\"a\":")
	C("n_object_unclosed_key", "{\"a")
	C("n_object_closed_by_bracket", "{\"a\":1]")
	C("n_object_behind_it", "{\"a\":1}#")
	C("n_object_string_behind_it", "{}\"a\"")
	C("n_object_comment_behind_it", "{\"a\":1}/**/")
	C("n_object_comment_in_it", "{/**/}")
	C("n_object_line_comment_in_it", "{\"a\":1//x\n}")
	C("n_object_hash_comment_in_it", "{#x\n\"a\":1}")
	C("n_object_two", "{}{}")
	C("n_object_emoji_key", "{\xf0\x9f\x87\xa8:1}")
	C("n_object_garbage_at_end", "{\"a\":\"a\" 123}")

	/* ---- numbers ---- */
	C("y_number_zero", "0")
	C("y_number_minus_zero", "-0")
	C("y_number_one", "1")
	C("y_number_minus_one", "-1")
	C("y_number_digits", "1234567890")
	C("y_number_fraction", "0.5")
	C("y_number_minus_fraction", "-0.5")
	C("y_number_zero_fraction", "0.0")
	C("y_number_minus_zero_fraction", "-0.0")
	C("y_number_trailing_zeros", "1.500")
	C("y_number_leading_zero_of_fraction", "0.001")
	C("y_number_exponent", "1e2")
	C("y_number_exponent_capital", "1E22")
	C("y_number_exponent_plus", "1e+2")
	C("y_number_exponent_minus", "1e-2")
	C("y_number_exponent_capital_plus", "1E+2")
	C("y_number_exponent_capital_minus", "1E-2")
	C("y_number_exponent_leading_zeros", "1e0007")
	C("y_number_exponent_zero", "1e0")
	C("y_number_fraction_exponent", "123.456e78")
	C("y_number_zero_fraction_exponent", "0.0e1")
	C("y_number_ten_exponent", "10e1")
	C("y_number_close_to_zero", "-0.000000000000000000000000000000000000000000000000000001")
	C("y_number_int64_max", "9223372036854775807")
	C("y_number_int64_min", "-9223372036854775808")
	C("y_number_uint64_max", "18446744073709551615")
	C("y_number_followed_by_blank", "123 ")
	C("i_number_beyond_uint64_is_taken", "18446744073709551616")
	C("i_number_beyond_int64_is_taken", "-9223372036854775809")
	C("i_number_of_many_digits_is_taken", "100000000000000000000000000000000000000000000000")
	C("i_number_minus_many_digits_is_taken", "-123123123123123123123123123123")
	C("i_number_of_too_many_digits_is_taken", "3.14159265358979323846264338327950288419716939937510")
	C("i_number_underflow_is_taken", "123e-10000000")
	C("i_number_minus_underflow_is_taken", "-1e-999")
	C("i_number_largest_double_is_taken", "1.7976931348623157e308")
	C("i_number_smallest_double_is_taken", "4.9e-324")
	C("i_number_beyond_double_is_refused", "1e400")
	C("i_number_beyond_double_minus_is_refused", "-1e400")
	C("i_number_beyond_double_fraction_is_refused", "1.5e+9999")
	C("i_number_beyond_double_just_is_refused", "1.8e308")
	C("i_number_huge_exponent_is_refused", "4e006699999999999999999999")
	C("wn_number_zero_exponent", "0e1")
	C("wn_number_zero_exponent_capital", "0E1")
	C("wn_number_zero_exponent_plus", "0e+1")
	C("wn_number_minus_zero_exponent", "-0e1")
	C("n_number_leading_zero", "01")
	C("n_number_leading_zeros", "00")
	C("n_number_minus_leading_zero", "-01")
	C("n_number_leading_zero_fraction", "012.5")
	C("n_number_plus", "+1")
	C("n_number_plus_infinity", "+Inf")
	C("n_number_two_signs", "--1")
	C("n_number_plus_minus", "+-1")
	C("n_number_minus_alone", "-")
	C("n_number_minus_blank", "- 1")
	C("n_number_minus_letters", "-foo")
	C("n_number_minus_point", "-.5")
	C("n_number_point_first", ".5")
	C("n_number_point_alone", ".")
	C("n_number_point_last", "1.")
	C("n_number_minus_point_last", "-2.")
	C("n_number_point_exponent", "1.e5")
	C("n_number_point_minus", "0.-1")
	C("n_number_two_points", "1..5")
	C("n_number_two_fractions", "1.5.5")
	C("n_number_exponent_alone", "e5")
	C("n_number_exponent_empty", "1e")
	C("n_number_exponent_plus_empty", "1e+")
	C("n_number_exponent_minus_empty", "1e-")
	C("n_number_exponent_capital_empty", "1E")
	C("n_number_exponent_fraction", "1e1.5")
	C("n_number_exponent_two_signs", "1e+-1")
	C("n_number_exponent_twice", "1e1e1")
	C("n_number_fraction_exponent_empty", "0.3e")
	C("n_number_fraction_exponent_plus_empty", "0.3e+")
	C("n_number_blank_inside", "1 000")
	C("n_number_comma_inside", "1,000.5.1")
	C("n_number_underscore", "1_000")
	C("n_number_hexadecimal", "0x42")
	C("n_number_hexadecimal_one", "0x1")
	C("n_number_octal", "0o17")
	C("n_number_binary", "0b1")
	C("n_number_suffix", "1L")
	C("n_number_garbage_behind", "1.2a-3")
	C("n_number_minus_garbage_behind", "-1x")
	C("n_number_nan", "NaN")
	C("n_number_minus_nan", "-NaN")
	C("n_number_inf", "Inf")
	C("n_number_infinity", "Infinity")
	C("n_number_minus_infinity", "-Infinity")
	C("n_number_expression", "1+2")
	C("n_number_fullwidth", "\xef\xbc\x91")
	C("n_number_invalid_utf8_behind", "123\xe5")
	C("n_number_invalid_utf8_in_exponent", "1e1\xe5")

	/* ---- strings ---- */
	C("y_string_empty", "\"\"")
	C("y_string_blank", "\" \"")
	C("y_string_ascii", "\" !#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~\"")
	C("y_string_delete", "\"\x7f\"")
	C("y_string_all_escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")
	C("y_string_double_backslash_u", "\"\\\\u0000\"")
	C("y_string_double_backslash_a", "\"\\\\a\"")
	C("y_string_escaped_quote_last", "\"\\\"\"")
	C("y_string_backslash_last", "\"\\\\\"")
	C("y_string_slash", "\"/\"")
	C("y_string_comment_like", "\"a/*b*/c//d#e\"")
	C("y_string_escape_lower_hex", "\"\\u00e9\\uabcd\"")
	C("y_string_escape_upper_hex", "\"\\u00E9\\uABCD\"")
	C("y_string_escape_mixed_hex", "\"\\uaBcD\"")
	C("y_string_escape_control", "\"\\u0001\\u001f\"")
	C("y_string_escape_delete", "\"\\u007f\"")
	C("y_string_escape_two_bytes", "\"\\u0080\\u07ff\"")
	C("y_string_escape_three_bytes", "\"\\u0800\\uffef\"")
	C("y_string_escape_near_surrogates", "\"\\ud7ff\\ue000\"")
	C("y_string_escape_pair", "\"\\ud83d\\ude00\"")
	C("y_string_escape_two_pairs", "\"\\ud83d\\ude00\\ud83d\\ude39\"")
	C("y_string_escape_first_pair", "\"\\ud800\\udc00\"")
	C("y_string_escape_last_pair", "\"\\udbff\\udffd\"")
	C("y_string_escape_line_separators", "\"\\u2028\\u2029\"")
	C("y_string_escape_byte_order_mark", "\"\\ufeff\"")
	C("y_string_escape_replacement", "\"\\ufffd\"")
	C("y_string_escape_near_noncharacters", "\"\\ufdcf\\ufdf0\\ufffd\"")
	C("y_string_escaped_braces", "\"\\u007b\\u007d\\u005b\\u005d\"")
	C("y_string_utf8_two_bytes", "\"\xc2\x80\xdf\xbf\"")
	C("y_string_utf8_three_bytes", "\"\xe0\xa0\x80\xef\xbf\xbd\"")
	C("y_string_utf8_near_surrogates", "\"\xed\x9f\xbf\xee\x80\x80\"")
	C("y_string_utf8_four_bytes", "\"\xf0\x90\x80\x80\"")
	C("y_string_utf8_last_character", "\"\xf4\x8f\xbf\xbd\"")
	C("y_string_utf8_euro", "\"\xe2\x82\xac\"")
	C("y_string_utf8_emoji", "\"\xf0\x9f\x98\x80\"")
	C("y_string_utf8_line_separators", "\"\xe2\x80\xa8\xe2\x80\xa9\"")
	C("y_string_utf8_byte_order_mark", "\"\xef\xbb\xbf\"")
	C("y_string_utf8_combining", "\"e\xcc\x81\"")
	C("y_string_utf8_behind_escape", "\"\\u00e9\xc3\xa9\\n\xc3\xa9\"")
	C("y_string_no_break_space", "\"\xc2\xa0\"")
	C("wy_string_single_quotes", "'a'")
	C("wy_string_single_quotes_empty", "''")
	C("wy_string_double_in_single_quotes", "'\"'")
	C("wy_string_escaped_in_single_quotes", "'\\'\\\"\\n'")
	C("wy_string_escaped_apostrophe", "\"it\\'s\"")
	C("wy_string_single_quotes_in_list", "['a',\"b\",'c']")
	C("wy_object_single_quotes", "{'a':1,\"b\":'c'}")
	C("wn_string_escape_nul", "\"\\u0000\"")
	C("wn_string_escape_nul_inside", "\"a\\u0000b\"")
	C("wn_string_escape_noncharacter_bmp", "\"\\uffff\"")
	C("wn_string_escape_noncharacter_swapped_mark", "\"\\ufffe\"")
	C("wn_string_escape_noncharacter_arabic", "\"\\ufdd0\"")
	C("wn_string_escape_noncharacter_arabic_last", "\"\\ufdef\"")
	C("wn_string_escape_noncharacter_far", "\"\\ud83f\\udffe\"")
	C("wn_string_escape_noncharacter_last", "\"\\udbff\\udfff\"")
	C("wn_string_utf8_noncharacter_bmp", "\"\xef\xbf\xbf\"")
	C("wn_string_utf8_noncharacter_arabic", "\"\xef\xb7\x90\"")
	C("wn_string_utf8_noncharacter_far", "\"\xf0\x9f\xbf\xbe\"")
	C("wn_string_utf8_noncharacter_last", "\"\xf4\x8f\xbf\xbf\"")
	C("i_string_high_surrogate_alone_is_refused", "\"\\ud800\"")
	C("i_string_low_surrogate_alone_is_refused", "\"\\udc00\"")
	C("i_string_high_surrogate_and_text_is_refused", "\"\\ud800abc\"")
	C("i_string_high_surrogate_and_escape_is_refused", "\"\\ud800\\n\"")
	C("i_string_high_surrogate_and_character_is_refused", "\"\\ud800\\u0041\"")
	C("i_string_two_high_surrogates_are_refused", "\"\\ud800\\ud800\"")
	C("i_string_two_low_surrogates_are_refused", "\"\\udc00\\udc00\"")
	C("i_string_surrogates_swapped_are_refused", "\"\\ude00\\ud83d\"")
	C("i_string_high_surrogate_and_utf8_is_refused", "\"\\ud83d\xf0\x9f\x98\x80\"")
	C("i_string_surrogate_in_key_is_refused", "{\"\\udfaa\":0}")
	C("i_string_utf8_surrogate_is_refused", "\"\xed\xa0\x80\"")
	C("i_string_utf8_low_surrogate_is_refused", "\"\xed\xbf\xbf\"")
	C("i_string_utf8_surrogate_pair_is_refused", "\"\xed\xa0\xbd\xed\xb8\x80\"")
	C("i_string_utf8_overlong_2_is_refused", "\"\xc0\xaf\"")
	C("i_string_utf8_overlong_2_last_is_refused", "\"\xc1\xbf\"")
	C("i_string_utf8_overlong_3_is_refused", "\"\xe0\x80\xaf\"")
	C("i_string_utf8_overlong_3_last_is_refused", "\"\xe0\x9f\xbf\"")
	C("i_string_utf8_overlong_4_is_refused", "\"\xf0\x80\x80\xaf\"")
	C("i_string_utf8_overlong_4_last_is_refused", "\"\xf0\x8f\xbf\xbf\"")
	C("i_string_utf8_overlong_6_is_refused", "\"\xfc\x83\xbf\xbf\xbf\xbf\"")
	C("i_string_utf8_overlong_nul_is_refused", "\"\xc0\x80\"")
	C("i_string_utf8_beyond_unicode_is_refused", "\"\xf4\x90\x80\x80\"")
	C("i_string_utf8_far_beyond_unicode_is_refused", "\"\xf7\xbf\xbf\xbf\"")
	C("i_string_utf8_five_bytes_is_refused", "\"\xf8\x88\x80\x80\x80\"")
	C("i_string_utf8_continuation_alone_is_refused", "\"\x81\"")
	C("i_string_utf8_continuation_too_many_is_refused", "\"\xc3\xa9\xa9\"")
	C("i_string_utf8_truncated_2_is_refused", "\"\xc3\"")
	C("i_string_utf8_truncated_3_is_refused", "\"\xe0\xff\"")
	C("i_string_utf8_truncated_3_by_end_is_refused", "\"\xe2\x82\"")
	C("i_string_utf8_truncated_4_is_refused", "\"\xf0\x9f\x98\"")
	C("i_string_utf8_truncated_by_character_is_refused", "\"\xe2\x82x\"")
	C("i_string_utf8_truncated_by_escape_is_refused", "\"\xe2\x82\\n\"")
	C("i_string_latin_1_is_refused", "\"\xe9\"")
	C("i_string_byte_ff_is_refused", "\"\xff\"")
	C("i_string_byte_fe_is_refused", "\"\xfe\"")
	C("i_string_invalid_in_key_is_refused", "{\"\xb9\":0}")
	C("n_string_unclosed", "\"abc")
	C("n_string_unclosed_empty", "\"")
	C("n_string_unclosed_single", "'abc")
	C("n_string_quotes_mixed", "\"abc'")
	C("n_string_escape_unknown", "\"\\x\"")
	C("n_string_escape_hex", "\"\\x41\"")
	C("n_string_escape_a", "\"\\a\"")
	C("n_string_escape_v", "\"\\v\"")
	C("n_string_escape_zero", "\"\\0\"")
	C("n_string_escape_octal", "\"\\101\"")
	C("n_string_escape_capital_u", "\"\\U0041\"")
	C("n_string_escape_capital_n", "\"\\N\"")
	C("n_string_escape_blank", "\"\\ \"")
	C("n_string_escape_backtick", "\"\\`\"")
	C("n_string_escape_line_end", "\"\\\n\"")
	C("n_string_escape_utf8", "\"\\\xc3\xa9\"")
	C("n_string_escape_emoji", "\"\\\xf0\x9f\x8c\x80\"")
	C("n_string_escape_invalid_byte", "\"\\\xe5\"")
	C("n_string_escape_last", "\"\\\"")
	C("n_string_escape_backslash_and_last", "\"\\\\\\\"")
	C("n_string_unicode_no_digits", "\"\\u\"")
	C("n_string_unicode_one_digit", "\"\\u0\"")
	C("n_string_unicode_two_digits", "\"\\u00\"")
	C("n_string_unicode_three_digits", "\"\\u00A\"")
	C("n_string_unicode_no_digit", "\"\\uqqqq\"")
	C("n_string_unicode_late_no_digit", "\"\\u004g\"")
	C("n_string_unicode_plus", "\"\\u+041\"")
	C("n_string_unicode_braces", "\"\\u{41}\"")
	C("n_string_unicode_invalid_byte", "\"\\u\xe5\"")
	C("n_string_surrogate_incomplete", "\"\\ud834\\udd\"")
	C("n_string_surrogate_and_u", "\"\\ud800\\u\"")
	C("n_string_surrogate_and_one_digit", "\"\\ud800\\u1\"")
	C("n_string_surrogate_and_unknown_escape", "\"\\ud800\\x\"")
	C("n_string_surrogate_and_backslash", "\"\\ud800\\\"")
	C("n_string_raw_tab", "\"a\tb\"")
	C("n_string_raw_line_end", "\"a\nb\"")
	C("n_string_raw_carriage_return", "\"a\rb\"")
	C("n_string_raw_nul", "\"a\0b\"")
	C("n_string_raw_first_control", "\"\x01\"")
	C("n_string_raw_last_control", "\"\x1f\"")
	C("n_string_raw_form_feed", "\"\x0c\"")
	C("n_string_no_quotes", "abc")
	C("n_string_one_letter", "a")
	C("n_string_escape_without_quotes", "\\n")
	C("n_string_unicode_without_quotes", "\\u0020\"asd\"")
	C("n_string_typographic_quotes", "\xe2\x80\x9c""a\xe2\x80\x9d")
	C("n_string_backtick_quotes", "`a`")
	C("n_string_prefix", "b\"a\"")
	C("n_string_behind_it", "\"\"x")
	C("n_string_joined", "\"a\"+\"b\"")

	/* ---- literals ---- */
	C("y_literal_true", "true")
	C("y_literal_false", "false")
	C("y_literal_null", "null")
	C("y_literal_blanks", " null ")
	C("n_literal_capital", "True")
	C("n_literal_capitals", "NULL")
	C("n_literal_capital_inside", "nuLl")
	C("n_literal_true_short", "tru")
	C("n_literal_false_short", "fals")
	C("n_literal_null_short", "nul")
	C("n_literal_long", "nulll")
	C("n_literal_joined", "truefalse")
	C("n_literal_digit_behind", "true1")
	C("n_literal_string_behind", "true\"\"")
	C("n_literal_undefined", "undefined")
	C("n_literal_nil", "nil")
	C("n_literal_yes", "yes")
	C("n_literal_function", "function(){}")
	C("n_literal_at", "@")
	C("n_literal_dollar", "$x")
	C("n_literal_utf8", "\xc3\xa9")
	C("n_literal_nan_small", "nan")

	/* ---- structure ---- */
	C("y_structure_lone_string", "\"asd\"")
	C("y_structure_lone_minus_int", "-1")
	C("y_structure_line_end_behind", "[\"a\"]\n")
	C("y_structure_blanks_before", " \t\r\n[]")
	C("y_structure_carriage_returns", "[\r]\r\r")
	C("y_structure_nested_8", "[[[[[[[[]]]]]]]]")
	C("y_structure_nested_in_turns", "[{\"a\":[{\"b\":[{\"c\":[{}]}]}]}]")
	C("n_structure_no_data", "")
	C("n_structure_blank", " ")
	C("n_structure_line_end", "\n")
	C("n_structure_angle_bracket", "<.>")
	C("n_structure_angle_null", "<null>")
	C("n_structure_array_and_garbage", "[1]x")
	C("n_structure_array_and_close", "[1]]")
	C("n_structure_array_twice", "[][]")
	C("n_structure_object_and_close", "{}}")
	C("n_structure_close_brace", "}")
	C("n_structure_close_bracket", "]")
	C("n_structure_comma", ",")
	C("n_structure_colon", ":")
	C("n_structure_double", "1]")
	C("n_structure_open_brace", "{")
	C("n_structure_open_bracket", "[")
	C("n_structure_open_brace_bracket", "{[")
	C("n_structure_open_bracket_brace", "[{")
	C("n_structure_open_bracket_comma", "[,")
	C("n_structure_open_brace_comma", "{,")
	C("n_structure_open_bracket_string", "[\"a")
	C("n_structure_open_brace_string", "{\"a")
	C("n_structure_open_in_turns", "[{[{[{[{")
	C("n_structure_brackets_crossed", "[{]}")
	C("n_structure_single_star", "*")
	C("n_structure_nul_byte", "\0")
	C("n_structure_nul_byte_behind_number", "[1\0]")
	C("n_structure_nul_byte_in_array", "[\0]")
	C("n_structure_vertical_tab", "[\x0b]")
	C("n_structure_form_feed", "[\x0c]")
	C("n_structure_delete", "[\x7f]")
	C("n_structure_no_break_space", "[\xc2\xa0]")
	C("n_structure_word_joiner", "[\xe2\x81\xa0]")
	C("n_structure_line_separator", "[\xe2\x80\xa8]")
	C("n_structure_next_line", "[\xc2\x85]")
	C("n_structure_escaped_blank", "[\\u0020]")
	C("n_structure_comment", "/**/[]")
	C("n_structure_comment_behind", "[]/**/")
	C("n_structure_line_comment", "//x\n[]")
	C("n_structure_hash_comment", "#x\n[]")
	C("n_structure_comment_unclosed", "[]/*")
	C("n_structure_slash", "/")
	C("n_structure_percent", "%s")
	C("n_structure_colon_for_comma", "{\"a\":1:\"b\":2}")
	C("n_structure_name_is_call", "f({})")
	C("n_structure_byte_order_mark_incomplete", "\xef\xbb{}")
	C("n_structure_utf8_alone", "\xe5")
	C("n_structure_byte_ff", "\xff[]")
	C("n_structure_byte_fe", "[\xfe]")
	C("i_structure_byte_order_mark_is_refused", "\xef\xbb\xbf{}")
	C("i_structure_byte_order_mark_behind_is_refused", "[]\xef\xbb\xbf")
	C("i_structure_utf16_little_with_mark_is_refused", "\xff\xfe[\0]\0")
	C("i_structure_utf16_big_with_mark_is_refused", "\xfe\xff\0[\0]")
	C("i_structure_utf16_little_is_refused", "[\0\"\0\xe9\0\"\0]\0")
	C("i_structure_utf16_big_is_refused", "\0[\0\"\0\xe9\0\"\0]")
};
/* clang-format on */

static bool begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

static bool ends(const char *name, const char *with)
{
	size_t n = strlen(name), m = strlen(with);

	return n >= m && !strcmp(name + n - m, with);
}

static bool is_taken(const char *name)
{
	return begins(name, "y_") || begins(name, "wy_") || ends(name, "_is_taken");
}

/* ---- the scanner ---- */

static int sink_begin(struct scan_sink *s)
{
	(void)s;
	return 0;
}

static int sink_write(struct scan_sink *s, const uint8_t *p, size_t len)
{
	(void)s, (void)p, (void)len;
	return 0;
}

static void sink_drop(struct scan_sink *s)
{
	(void)s;
}

enum verdict {
	REFUSED,   /* an error, or not complete, or something more besides */
	TAKEN,     /* exactly one request */
	NO_OBJECT, /* exactly the error that says so */
};

/* What becomes of LEN bytes at P, handed over in pieces of STEP. */
static enum verdict scan(const char *p, size_t len, size_t step)
{
	struct scan_sink sink = {sink_begin, sink_write, sink_drop};
	CLEANUP(scan_free_p) struct scan *s = scan_new(&sink);
	static const char no_object[] = "QMP input must be a JSON object";
	enum verdict v = REFUSED;
	unsigned int events = 0;

	assert_non_null(s);
	for (size_t at = 0; at < len;) {
		enum scan_event ev;

		at += scan_feed(s, (const uint8_t *)p + at, min_size(step, len - at),
				&ev);
		if (ev == SCAN_MORE)
			continue;
		events++;
		v = REFUSED;
		if (ev == SCAN_REQUEST)
			v = TAKEN;
		else if (scan_error_text(s).len == strlen(no_object) &&
			 !memcmp(scan_error_text(s).p, no_object, strlen(no_object)))
			v = NO_OBJECT;
	}
	return events == 1 && !scan_pending(s) ? v : REFUSED;
}

/* C's text between BEFORE and AFTER gives WANT, however it is cut. */
static void check(const struct json_case *c, const char *before, const char *after,
		  enum verdict want)
{
	size_t lens[] = {strlen(before), c->len, strlen(after)};
	size_t len = lens[0] + lens[1] + lens[2];
	char *text = test_malloc(len + 1);

	memcpy(text, before, lens[0]);
	memcpy(text + lens[0], c->text, lens[1]);
	memcpy(text + lens[0] + lens[1], after, lens[2]);
	if (scan(text, len, len ? len : 1) != want || scan(text, len, 1) != want)
		fail_msg("%s: %s%s%s", c->name, before, c->text, after);
	test_free(text);
}

static bool is_object(const struct json_case *c)
{
	return c->text[strspn(c->text, " \t\r\n")] == '{';
}

/* ---- tests ---- */

static void every_case(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct json_case *c = &cases[i];
		enum verdict want = is_taken(c->name) ? TAKEN : REFUSED;

		check(c, "{\"v\":", "}", want);
		check(c, "{\"v\":[0,", ",0]}", want);
		/* The line end is that of the message: without one, 1 is not complete. */
		if (want == TAKEN && !is_object(c))
			want = NO_OBJECT;
		check(c, "", "\n", want);
	}
}

/* Every name is of one of the kinds, says what is done if JSON does not, and is there
 * once. */
static void names(void **state)
{
	static const char *const kinds[] = {"y_", "n_", "wy_", "wn_", "i_"};
	size_t count[ARRAY_SIZE(kinds)] = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *name = cases[i].name;
		unsigned int fits = 0;

		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			count[k] += begins(name, kinds[k]);
			fits += begins(name, kinds[k]);
		}
		assert_int_equal(fits, 1);
		assert_true(!begins(name, "i_") || ends(name, "_is_taken") ||
			    ends(name, "_is_refused") || ends(name, "_are_refused"));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(name, cases[j].name);
	}
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		assert_true(count[k]);
}

/* Nesting is the one thing in which a long case differs from a short one. */
static void nesting(void **state)
{
	static const struct {
		size_t depth;
		enum verdict want;
	} deep[] = {
		{500, NO_OBJECT},
		{SCAN_DEPTH_MAX, NO_OBJECT},
		{SCAN_DEPTH_MAX + 1, REFUSED},
		{100000, REFUSED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(deep); i++) {
		size_t n = deep[i].depth;
		char *text = test_malloc(2 * n);

		memset(text, '[', n);
		memset(text + n, ']', n);
		assert_int_equal(scan(text, 2 * n, 2 * n), deep[i].want);
		assert_int_equal(scan(text, n, n), REFUSED);
		test_free(text);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case),
		cmocka_unit_test(names),
		cmocka_unit_test(nesting),
	};

	return cmocka_run_group_tests_name("scan_json", tests, NULL, NULL);
}
