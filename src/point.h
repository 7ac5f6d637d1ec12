/*-------------------------------------------------------------------------
 *
 * point.h
 *	  Points at which a test can make a session fail, or the server.
 *
 * They are there only if SAFEMIG_POINTS is defined ("make POINTS=1"), which
 * is for tests: what is installed for use has neither points nor the setting.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_POINT_H
#define SAFEMIG_POINT_H

#ifdef SAFEMIG_POINTS

typedef struct Point
{
	const char *name;
	bool		may_fail;		/* an error here is one that can be undone */
	uint64		passed;			/* since the setting was set */
} Point;

extern void point_pass(Point *point);
extern void points_define(void);

/* The linker gathers pointers to all of them: there is no list to be kept. */
#define POINT_AT(name, may_fail) \
	do { \
		static Point point_here = {name, may_fail, 0}; \
		static Point *const point_pointer \
			__attribute__((used, section("safemig_points"))) = &point_here; \
		point_pass(&point_here); \
	} while (0)

#else

#define points_define() ((void) 0)
#define POINT_AT(name, may_fail) ((void) 0)

#endif

#define SAFEMIG_POINT(name) POINT_AT(name, true)
/* after the commit: only the server can fail here */
#define SAFEMIG_POINT_COMMITTED(name) POINT_AT(name, false)

#endif							/* SAFEMIG_POINT_H */
