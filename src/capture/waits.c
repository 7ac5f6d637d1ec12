/*-------------------------------------------------------------------------
 *
 * waits.c
 *	  How long this session has waited for locks.
 *
 * PostgreSQL does not count it.  But whoever waits for a lock starts the
 * timer of the deadlock check first, and when that was last started can be
 * asked: so it is seen that there was a wait, and when it began.  Its end is
 * taken to be the moment at which somebody looks, which is right after each
 * lock that safemig takes itself, and it takes those of the command before the
 * command does.  Of several waits between two looks only the last one counts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "capture/capture.h"

static TimestampTz last_began = 0;
static int64 waited = 0;		/* microseconds, by all that was looked at */

void
waits_look(void)
{
	TimestampTz began = get_timeout_start_time(DEADLOCK_TIMEOUT);

	if (began == last_began)
		return;
	waited += Max(GetCurrentTimestamp() - began, 0);
	last_began = began;
}

/* Of what was looked at up to now; what was not, ends here. */
double
waits_ms(void)
{
	waits_look();
	return waited / 1000.0;
}
