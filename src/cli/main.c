/* pontoon: finds the command in the tables, parses its flags, runs it. */
#include <signal.h>
#include <stdlib.h>

#include "cli/cmd.h"
#include "cli/context.h"
#include "cli/globals.h"
#include "cli/help.h"

static const struct command *const tables[] = {commands_run, commands_container, commands_image, commands_registry, commands_network, commands_system, commands_df, commands_volume, commands_stats, commands_copy, commands_context};

/* Other names count in the group only. */
static bool named(const struct command *c, const char *group, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = group ? c->alias : NULL; p && *p; p += strcspn(p, " "), p += *p == ' ')
		if (strncmp(p, name, n) == 0 && (p[n] == ' ' || !p[n]))
			return true;
	return streq(c->name, name);
}

static const struct command *find(const char *group, const char *name)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (const struct command *c = tables[t]; c->name; c++)
			if (named(c, group, name) && (group ? c->group && streq(c->group, group) : c->top))
				return c;
	return NULL;
}

static bool is_group(const char *s)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (const struct command *c = tables[t]; c->name; c++)
			if (c->group && streq(c->group, s))
				return true;
	return false;
}

static int bad_usage(const struct command *c, const char *group, const char *text, int status)
{
	const char *g = group ? group : "", *blank = group ? " " : "";
	fprintf(stderr, "pontoon: %s\n\nUsage:  pontoon %s%s%s %s\n\nRun 'pontoon %s%s%s --help' for more information\n", text, g, blank, c->name, c->usage, g, blank, c->name);
	return status;
}

static int run(const struct command *c, const char *group, char **argv)
{
	OWN(arena_free) struct arena a = {0};
	struct parsed p = {0};
	struct err e = {0};
	char text[256];
	if (flags_parse(c->flags, c->nflags, argv, c->stop_at_first, &a, &p, &e) < 0)
		return bad_usage(c, group, e.msg, TAIL_RUN);
	if (p.help)
		return help_command(c, group);
	int n = (int)p.args.n;
	if (n >= c->min && (c->max < 0 || n <= c->max)) {
		bool no_daemon = c->group && streq(c->group, "context");
		return !no_daemon && context_enter(&a, &e) < 0 ? fail(&e, 1) : c->run(&p, &a);
	}
	if (!c->max)
		snprintf(text, sizeof(text), "'pontoon %s%s%s' accepts no arguments", group ? group : "", group ? " " : "", c->name);
	else if (c->min == c->max)
		snprintf(text, sizeof(text), "'pontoon %s%s%s' requires %d argument%s", group ? group : "", group ? " " : "", c->name, c->min, c->min == 1 ? "" : "s");
	else
		snprintf(text, sizeof(text), "'pontoon %s%s%s' requires at %s %d argument%s", group ? group : "", group ? " " : "", c->name, n < c->min ? "least" : "most", n < c->min ? c->min : c->max, (n < c->min ? c->min : c->max) == 1 ? "" : "s");
	return bad_usage(c, group, text, 1);
}

static int command(char **argv)
{
	const char *group = is_group(argv[0]) ? *argv++ : NULL;
	if (!argv[0] || (group && (streq(argv[0], "--help") || streq(argv[0], "-h"))))
		return help_group(tables, ARRAY_LEN(tables), group);
	const struct command *c = find(group, argv[0]);
	return c ? run(c, group, argv + 1) : help_unknown(tables, ARRAY_LEN(tables), group, argv[0]);
}

int main(int argc, char **argv)
{
	char help[] = "--help";
	OWN(arena_free) struct arena mem = {0};
	struct globals g;
	signal(SIGPIPE, SIG_IGN);
	int i = globals_read(argc, argv, &mem, &g);
	if (i < 0)
		return 125;
	if (g.version) {
		puts("Pontoon version " PONTOON_VERSION);
		return 0;
	}
	if (g.help)
		return help_all(tables, ARRAY_LEN(tables));
	if (i < argc && streq(argv[i], "help") && i + 1 < argc) { /* "help run" is "run --help" */
		char *words[] = {argv[i + 1], argv[i + 2] ? argv[i + 2] : help, argv[i + 2] ? help : NULL, NULL};
		return command(words);
	}
	if (i == argc || streq(argv[i], "help"))
		return help_all(tables, ARRAY_LEN(tables));
	int status = command(argv + i);
	if (fflush(stdout) != 0 && status == 0)
		status = 1; /* what was asked for could not be printed */
	return status;
}
