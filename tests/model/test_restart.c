/* The restart policies, as a table. */
#include "model/restart.h"
#include "test.h"

struct row {
	const char *policy;
	int64_t max, count, code;
	bool stopped;
	bool after_exit, at_boot;
};

TEST(policies)
{
	static const struct row rows[] = {
		{"no", 0, 0, 1, false, false, false},
		{"always", 0, 9, 0, false, true, true},
		{"always", 0, 0, 0, true, false, true},
		{"unless-stopped", 0, 0, 0, false, true, true},
		{"unless-stopped", 0, 0, 1, true, false, false},
		{"on-failure", 0, 99, 1, false, true, true},
		{"on-failure", 0, 0, 0, false, false, false},
		{"on-failure", 2, 1, 1, false, true, true},
		{"on-failure", 2, 2, 1, false, false, false},
		{"on-failure", 0, 0, 1, true, false, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct container_spec spec = {.host = {.restart_name = r->policy, .restart_max = r->max}};
		struct container c = {.spec = &spec, .state = STATE_EXITED, .started = 1, .exit_code = r->code, .restart_count = r->count, .stopped_by_user = r->stopped};
		CHECK(restart_after_exit(&c, r->code, r->stopped) == r->after_exit);
		CHECK(restart_at_boot(&c) == r->at_boot);
		c.started = 0; /* only created: nobody asked for it to run */
		c.state = STATE_CREATED;
		CHECK(!restart_at_boot(&c));
		c.state = STATE_RESTARTING;
		CHECK(restart_at_boot(&c));
	}
}

TEST(waits_double_to_a_minute_and_begin_anew)
{
	int64_t w = restart_wait(0, 0);
	CHECK(w == RESTART_WAIT_FIRST_NS);
	for (int i = 0; i < 9; i++) {
		int64_t next = restart_wait(w, RESTART_STEADY_NS - 1);
		CHECK(next == w * 2);
		w = next;
	}
	w = restart_wait(w, 0);
	CHECK(w == RESTART_WAIT_MAX_NS);
	CHECK(restart_wait(w, 0) == RESTART_WAIT_MAX_NS);
	CHECK(restart_wait(w, RESTART_STEADY_NS) == RESTART_WAIT_FIRST_NS);
}

TESTS(T(policies), T(waits_double_to_a_minute_and_begin_anew))
