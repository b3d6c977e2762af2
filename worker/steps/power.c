/*
 * worker/steps/power.c - shutdown and suspend: init first, then the kernel
 *
 * Runs in:   worker
 * Input:     requests that were allowed; ends of programs
 * May touch: the request
 * Must not:  go past init where no rule says `force = yes`, leave a failure unsaid
 *
 * Success is silent on the wire (protocol 1.3), so what fails has to say so at once.
 */
#include <string.h>

#include "worker/steps/steps.h"

static void run_part(struct worker *w, struct request *rq, uint32_t part)
{
	request_part(w, rq, part, &(struct msg_power){.mode = V_INT(rq->steps->mode)});
}

/* ---- shutdown ---- */

/* By enum power_mode: the policy's and the wire's word, the option of shutdown(8). */
static const struct power {
	const char *name;
	const char *option;
} powers[POWER_MODES] = {
	[POWER_DOWN] = {"powerdown", "-P"},
	[POWER_HALT] = {"halt", "-H"},
	[POWER_REBOOT] = {"reboot", "-r"},
};

static int check_shutdown(struct worker *w, struct request *rq, const struct asked *q,
			  const struct policy_answer *a, struct err *e)
{
	const struct v_str *mode = &((const struct msg_shutdown *)q->args)->mode;
	int64_t i = POWER_DOWN;

	(void)w;
	while (mode->set && i < POWER_MODES &&
	       (mode->len != strlen(powers[i].name) ||
		memcmp(mode->p, powers[i].name, mode->len) != 0))
		i++;
	if (i == POWER_MODES) /* without its parenthesis: protocol 5.6 */
		return err_set(e, ERR_GENERIC,
			       "mode is invalid (valid values are: "
			       "halt|powerdown|reboot");
	rq->steps->mode = i;
	rq->steps->force = policy_yes(&rq->gen->policy, a, KEY_FORCE);
	return 0;
}

static void tell_init(struct worker *w, struct request *rq)
{
	record_power(w, rq, powers[rq->steps->mode].name);
	run_part(w, rq, OP_power_signal);
}

static void init_told(struct worker *w, struct request *rq, const struct outcome *o)
{
	if (step_went_well(o))
		steps_done(w, rq);
	else if (w->init_by_signal && !rq->steps->force)
		steps_fail(w, rq, o->part);
	else
		steps_next(w, rq);
}

static void find_shutdown(struct worker *w, struct request *rq)
{
	/* Where init takes signals there is nobody to run a program. */
	if (w->init_by_signal)
		steps_next(w, rq);
	else
		steps_find(w, rq, "shutdown");
}

static void run_shutdown(struct worker *w, struct request *rq)
{
	const char *const argv[] = {"shutdown",
				    "-h",
				    powers[rq->steps->mode].option,
				    "+0",
				    "hypervisor initiated shutdown",
				    NULL};

	if (!rq->steps->program && rq->steps->force)
		steps_next(w, rq);
	else
		steps_run(w, rq, argv, RUN_PLAIN);
}

static void shutdown_ended(struct worker *w, struct request *rq, const struct outcome *o)
{
	if (step_went_well(o))
		steps_done(w, rq);
	else if (rq->steps->force)
		steps_next(w, rq);
	else
		steps_fail_program(w, rq, "shutdown", o);
}

static void force(struct worker *w, struct request *rq)
{
	run_part(w, rq, OP_power_force);
}

static const struct step shutdown_steps[] = {
	{tell_init, init_told}, {find_shutdown, NULL}, {run_shutdown, shutdown_ended},
	{force, steps_pass},    {NULL, NULL},
};

const struct plan plan_shutdown = {check_shutdown, shutdown_steps, NULL};

/* ---- suspend ---- */

/* By enum suspend_mode: what it is called, what systemctl(1) calls it. */
static const struct suspend {
	const char *name;
	const char *verb;
} suspends[SUSPEND_MODES] = {
	[SUSPEND_DISK] = {"suspend-disk", "hibernate"},
	[SUSPEND_RAM] = {"suspend-ram", "suspend"},
	[SUSPEND_HYBRID] = {"suspend-hybrid", "hybrid-sleep"},
};

_Static_assert(OP_suspend_ram == OP_suspend_disk + SUSPEND_RAM, "modes in this order");
_Static_assert(OP_suspend_hybrid == OP_suspend_disk + SUSPEND_HYBRID,
	       "modes in this order");

static int check_suspend(struct worker *w, struct request *rq, const struct asked *q,
			 const struct policy_answer *a, struct err *e)
{
	rq->steps->mode = rq->op - OP_suspend_disk;
	rq->steps->force = policy_yes(&rq->gen->policy, a, KEY_FORCE);
	if (rq->op == OP_suspend_hybrid && !w->systemd)
		return err_set(e, ERR_NOT_FOUND,
			       "Command %s has been disabled: it needs systemd",
			       q->op->name);
	return 0;
}

static void look(struct worker *w, struct request *rq)
{
	run_part(w, rq, OP_suspend_look);
}

static void looked(struct worker *w, struct request *rq, const struct outcome *o)
{
	if (!step_went_well(o)) {
		steps_fail(w, rq, o->part);
		return;
	}
	record_power(w, rq, suspends[rq->steps->mode].name);
	steps_next(w, rq);
}

static void find_systemctl(struct worker *w, struct request *rq)
{
	if (w->systemd)
		steps_find(w, rq, "systemctl");
	else
		steps_next(w, rq);
}

static void run_systemctl(struct worker *w, struct request *rq)
{
	const char *const argv[] = {"systemctl", suspends[rq->steps->mode].verb, NULL};

	if (!w->systemd ||
	    (!rq->steps->program && rq->steps->force && rq->op != OP_suspend_hybrid))
		steps_next(w, rq);
	else
		steps_run(w, rq, argv, RUN_PLAIN);
}

static void systemctl_ended(struct worker *w, struct request *rq, const struct outcome *o)
{
	if (step_went_well(o))
		steps_done(w, rq);
	else if (rq->steps->force && rq->op != OP_suspend_hybrid)
		steps_next(w, rq);
	else
		steps_fail_program(w, rq, "suspend", o);
}

static void write_state(struct worker *w, struct request *rq)
{
	run_part(w, rq, OP_suspend_write);
}

static const struct step suspend_steps[] = {
	{look, looked},
	{find_systemctl, NULL},
	{run_systemctl, systemctl_ended},
	{write_state, steps_pass},
	{NULL, NULL},
};

const struct plan plan_suspend = {check_suspend, suspend_steps, NULL};
