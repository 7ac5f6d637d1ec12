/*-------------------------------------------------------------------------
 *
 * point.c
 *	  What happens at a point of point.h, by the settings of a test.
 *
 * SET safemig.point = 'rollback.locked kill 1' kills this backend when it
 * passes that point for the first time; SHOW safemig.points lists all points
 * with the number of times that they were passed since.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef SAFEMIG_POINTS

#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timeout.h"

#include "point.h"

typedef enum PointAction
{
	POINT_NOTHING,
	POINT_ERROR,				/* as a failure inside safemig */
	POINT_CANCEL,				/* as pg_cancel_backend() */
	POINT_TERMINATE,			/* as pg_terminate_backend() */
	POINT_TIMEOUT,				/* as statement_timeout */
	POINT_WAIT,					/* until somebody ends it */
	POINT_KILL,					/* the backend; the others start anew */
	POINT_STOP					/* the whole server at once */
} PointAction;

static const char *const action_names[] = {
	"nothing", "error", "cancel", "terminate", "timeout", "wait", "kill", "stop"
};

extern Point *const __start_safemig_points[] __attribute__((visibility("hidden")));
extern Point *const __stop_safemig_points[] __attribute__((visibility("hidden")));

static char *point_setting = NULL;
static char *points_setting = NULL;

static char wanted_name[NAMEDATALEN];
static PointAction wanted_action = POINT_NOTHING;
static uint64 wanted_pass = 1;

static void
wait_here(void)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(1000);
	}
}

/* Nothing is written to the log first: that would give the others time. */
static void
kill_server(void)
{
	kill(PostmasterPid, SIGKILL);
	kill(MyProcPid, SIGKILL);
}

static void
act(const Point *point, PointAction action)
{
	switch (action)
	{
		case POINT_NOTHING:
			break;
		case POINT_ERROR:
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg_internal("point %s", point->name)));
			break;
		case POINT_CANCEL:
			kill(MyProcPid, SIGINT);
			break;
		case POINT_TERMINATE:
			kill(MyProcPid, SIGTERM);
			break;
		case POINT_TIMEOUT:
			enable_timeout_after(STATEMENT_TIMEOUT, 1);
			wait_here();
			break;
		case POINT_WAIT:
			wait_here();
			break;
		case POINT_KILL:
			kill(MyProcPid, SIGKILL);
			break;
		case POINT_STOP:
			kill_server();
			break;
	}
}

void
point_pass(Point *point)
{
	PointAction action = wanted_action;

	point->passed++;
	if (action == POINT_NOTHING || point->passed != wanted_pass ||
		strcmp(point->name, wanted_name) != 0 ||
		(!point->may_fail && action < POINT_KILL))
		return;
	wanted_action = POINT_NOTHING;
	act(point, action);
}

static bool
read_setting(const char *value, char *name, PointAction *action, uint64 *pass)
{
	char		word[16];
	unsigned long long number = 1;

	*action = POINT_NOTHING;
	name[0] = '\0';
	if (value == NULL || value[0] == '\0')
		return true;
	if (sscanf(value, "%63s %15s %llu", name, word, &number) < 2)
		return false;
	*pass = number;
	for (size_t i = 0; i < lengthof(action_names); i++)
	{
		if (strcmp(word, action_names[i]) == 0)
		{
			*action = (PointAction) i;
			return true;
		}
	}
	return false;
}

static bool
check_point(char **value, void **extra, GucSource source)
{
	char		name[NAMEDATALEN];
	PointAction action;
	uint64		pass;

	return read_setting(*value, name, &action, &pass);
}

static void
assign_point(const char *value, void *extra)
{
	(void) read_setting(value, wanted_name, &wanted_action, &wanted_pass);
	for (Point *const *point = __start_safemig_points; point < __stop_safemig_points; point++)
		(*point)->passed = 0;
}

static const char *
show_points(void)
{
	StringInfoData all;

	initStringInfo(&all);
	for (Point *const *point = __start_safemig_points; point < __stop_safemig_points; point++)
		appendStringInfo(&all, "%s %llu\n", (*point)->name,
						 (unsigned long long) (*point)->passed);
	return all.data;
}

void
points_define(void)
{
	DefineCustomStringVariable("safemig.point",
							   "Names a point, what happens there, and at which pass.",
							   NULL, &point_setting, "",
							   PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							   check_point, assign_point, NULL);
	DefineCustomStringVariable("safemig.points",
							   "Lists all points and how often they were passed.",
							   NULL, &points_setting, "",
							   PGC_INTERNAL, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							   NULL, NULL, show_points);
}

#endif							/* SAFEMIG_POINTS */
