/*-------------------------------------------------------------------------
 *
 * window.c
 *	  safemig.change_window: when the schema may be changed.
 *
 * "22:00-04:00", or with days "Sat,Sun 22:00-04:00"; empty: at any time.  By
 * the clock of the server's log_timezone, since a session's time zone is
 * whatever its client likes.  A window that goes over midnight belongs to the
 * day on which it begins.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pgtime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "advise/advise.h"

char	   *safemig_change_window = NULL;
int			safemig_max_objects = 20;

#define ALL_DAYS 0x7f

typedef struct Window
{
	int			days;			/* bit 0 is Sunday */
	int			from;			/* minutes of the day */
	int			to;
} Window;

static const char *
parse_days(const char *text, int *days)
{
	static const char *const names[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

	*days = 0;
	while (isalpha((unsigned char) *text))
	{
		int			day;

		for (day = 0; day < 7; day++)
		{
			if (pg_strncasecmp(text, names[day], 3) == 0)
				break;
		}
		if (day == 7)
			return NULL;
		*days |= 1 << day;
		text += 3;
		if (*text == ',')
			text++;
	}
	if (*days == 0)
		*days = ALL_DAYS;
	while (*text == ' ')
		text++;
	return text;
}

static bool
parse_window(const char *text, Window *window)
{
	int			from_hour;
	int			from_minute;
	int			to_hour;
	int			to_minute;
	int			end = 0;

	text = parse_days(text, &window->days);
	if (text == NULL ||
		sscanf(text, "%2d:%2d-%2d:%2d%n", &from_hour, &from_minute, &to_hour, &to_minute, &end) != 4 ||
		text[end] != '\0' || from_hour < 0 || from_hour > 23 || to_hour < 0 || to_hour > 24 ||
		from_minute < 0 || from_minute > 59 || to_minute < 0 || to_minute > 59)
		return false;
	window->from = from_hour * 60 + from_minute;
	window->to = to_hour * 60 + to_minute;
	return true;
}

bool
window_check(char **value, void **extra, GucSource source)
{
	Window		window;

	if ((*value)[0] == '\0' || parse_window(*value, &window))
		return true;
	GUC_check_errdetail("It is \"HH:MM-HH:MM\", or days before it: \"Sat,Sun 22:00-04:00\".");
	return false;
}

bool
window_is_open(void)
{
	Window		window;
	pg_time_t	now = timestamptz_to_time_t(GetCurrentTimestamp());
	struct pg_tm *local = pg_localtime(&now, log_timezone);
	int			minute = local->tm_hour * 60 + local->tm_min;
	int			today = 1 << local->tm_wday;
	int			yesterday = 1 << ((local->tm_wday + 6) % 7);

	if (safemig_change_window == NULL || safemig_change_window[0] == '\0' ||
		!parse_window(safemig_change_window, &window))
		return true;
	if (window.from < window.to)
		return (window.days & today) && minute >= window.from && minute < window.to;
	return ((window.days & today) && minute >= window.from) ||
		((window.days & yesterday) && minute < window.to);
}
