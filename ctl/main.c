/*
 * ctl/main.c - posternctl: finds the verb
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line
 * May touch: standard output and error
 * Must not:  be linked into the agent
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

static const struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} verbs[] = {
	{"audit", ctl_audit, "show what the agent recorded, and what is missing"},
	{"call", ctl_call, "send requests over the agent's socket, print the replies"},
	{"check", ctl_check, "find mistakes in policy files, run their tests"},
	{"diff", ctl_diff,
	 "say what another policy would allow, deny and limit otherwise"},
	{"explain", ctl_explain, "say what the policy makes of a request, and why"},
	{"list", ctl_list,
	 "say of every command whether it is allowed, and by which rule"},
	{"reload", ctl_reload, "have a running agent read its policy again"},
	{"status", ctl_status, "say what a running agent decides by, holds and does"},
	{"suggest", ctl_suggest, "write rules for what complain mode let through"},
};

int ctl_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("posternctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return CTL_FAILED;
}

#define SECONDS_MAX 86400.0

int ctl_seconds(const char *option, const char *text, double least, uint64_t *ms)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= least && seconds <= SECONDS_MAX))
		return ctl_fail("%s: '%s' is no number of seconds up to %g", option, text,
				SECONDS_MAX);
	*ms = (uint64_t)(seconds * 1000);
	return CTL_OK;
}

int ctl_flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CTL_OK;
	return ctl_fail("cannot write to standard output: %s", strerror(errno));
}

static int help(void)
{
	puts("Usage: posternctl VERB [OPTIONS] [ARGUMENTS]\n"
	     "       posternctl --help | --version\n"
	     "\n"
	     "Verbs (posternctl VERB --help tells more):");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		printf("  %-10s %s\n", verbs[i].name, verbs[i].summary);
	puts("\n"
	     "Each takes --json, for a result that programs read, and has a manual "
	     "page,\n"
	     "as posternctl-check(1). Exit status: 0 allowed or fine; 1 denied, findings "
	     "or an\n"
	     "error of the agent; 2 a wrong call, or something could not be read.");
	return ctl_flush();
}

static int version(void)
{
	puts("posternctl " POSTERN_VERSION);
	return ctl_flush();
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;

	if (!word)
		return ctl_fail("no verb given (try: posternctl --help)");
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return help();
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		return version();
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(word, verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	return ctl_fail("unknown %s '%s' (try: posternctl --help)",
			*word == '-' ? "option" : "verb", word);
}
