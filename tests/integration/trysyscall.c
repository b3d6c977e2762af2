/*
 * tests/integration/trysyscall.c - make one system call in the sandbox of one process
 *
 * Runs in:   tests; people
 * Input:     `trysyscall ROLE CALL`; without arguments it lists both
 * May touch: itself
 * Must not:  do anything by the call: its arguments are bad on purpose
 *
 * Exit status: 0 survived; EXIT_CONFIG wrong arguments; EXIT_SEAL the sandbox could not
 * be entered; EXIT_NO_CALL this machine has no such call. Death by SIGSYS: not allowed.
 */
#include <stdio.h>

#include "ipc/launch.h"
#include "tests/lib/trycall.h"

#define EXIT_NO_CALL 77

static int usage(void)
{
	fputs("usage: trysyscall ROLE CALL\nroles:", stderr);
	for (size_t i = 0; i < ARRAY_SIZE(try_roles); i++)
		fprintf(stderr, " %s", try_roles[i]);
	fputs("\ncalls:", stderr);
	for (size_t i = 0; i < ARRAY_SIZE(try_calls); i++)
		fprintf(stderr, " %s", try_calls[i].name);
	fputc('\n', stderr);
	return EXIT_CONFIG;
}

int main(int argc, char **argv)
{
	enum sandbox_role role = 0;
	const struct try_call *call = NULL;
	const char *step = "";

	if (argc != 3)
		return usage();
	while (role < SANDBOX_ROLE_COUNT && strcmp(argv[1], try_roles[role]) != 0)
		role++;
	for (size_t i = 0; i < ARRAY_SIZE(try_calls); i++)
		if (strcmp(argv[2], try_calls[i].name) == 0)
			call = &try_calls[i];
	if (role == SANDBOX_ROLE_COUNT || !call)
		return usage();
	if (call->nr < 0)
		return EXIT_NO_CALL;
	if (try_enter(role, &step) < 0) {
		fprintf(stderr, "trysyscall: %s: %s\n", step, strerror(errno));
		return EXIT_SEAL;
	}
	try_syscall(call);
	_exit(0); /* a call that forks has two to end here */
}
