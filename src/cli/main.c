/* pontoon: finds the command in the tables, parses its flags, runs it. */
#include <signal.h>
#include <stdlib.h>

#include "cli/cmd.h"
#include "cli/globals.h"

static const struct command *const tables[] = {commands_run, commands_container, commands_image, commands_network, commands_system};
static const char *const groups[] = {"container", "image", "network", "system"};

static bool named(const struct command *c, const char *name)
{
	return streq(c->name, name) || (c->alias && streq(c->alias, name));
}

static const struct command *find(const char *group, const char *name)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (const struct command *c = tables[t]; c->name; c++)
			if (named(c, name) && (group ? c->group && streq(c->group, group) : c->top))
				return c;
	return NULL;
}

static bool is_group(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (streq(groups[i], s))
			return true;
	return false;
}

static void list(const char *group)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (const struct command *c = tables[t]; c->name; c++)
			if (group ? c->group && streq(c->group, group) : c->top)
				printf("  %-11s %s\n", c->name, c->help);
}

static int usage(const char *group)
{
	printf("Usage:  pontoon %s%sCOMMAND\n\nContainers and their networks.\n\nCommands:\n", group ? group : "[OPTIONS]", " ");
	list(group);
	if (!group)
		printf("\nManagement Commands:\n  container, image, network, system\n\nOptions:\n");
	if (!group)
		globals_usage();
	if (!group)
		puts("\nRun 'pontoon COMMAND --help' for more on a command.");
	return 0;
}

static int command_help(const struct command *c)
{
	printf("Usage:  pontoon %s%s%s\n\n%s\n", c->name, c->nflags ? " [OPTIONS] " : " ", c->usage, c->help);
	if (c->nflags)
		puts("\nOptions:");
	for (size_t i = 0; i < c->nflags; i++) {
		const struct flag *f = &c->flags[i];
		char left[64];
		if (!f->help)
			continue;
		snprintf(left, sizeof(left), "%c%c%c --%s%s%s", f->short_name ? '-' : ' ', f->short_name ? f->short_name : ' ', f->short_name ? ',' : ' ', f->name, f->value ? " " : "", f->value ? f->value : "");
		printf("  %-30s %s\n", left, f->help);
	}
	return 0;
}

static int bad_usage(const struct command *c, const char *text, int status)
{
	fprintf(stderr, "pontoon: %s\n\nUsage:  pontoon %s %s\n\nRun 'pontoon %s --help' for more information\n", text, c->name, c->usage, c->name);
	return status;
}

static int run(const struct command *c, char **argv)
{
	OWN(arena_free) struct arena a = {0};
	struct parsed p = {0};
	struct err e = {0};
	char text[256];
	/* Wrong words of run and create are 125, as everything that is not the container's doing. */
	int status = streq(c->name, "run") || streq(c->name, "create") ? TAIL_RUN : 1;
	if (flags_parse(c->flags, c->nflags, argv, c->stop_at_first, &a, &p, &e) < 0)
		return bad_usage(c, e.msg, status);
	if (p.help)
		return command_help(c);
	int n = (int)p.args.n;
	if (n >= c->min && (c->max < 0 || n <= c->max))
		return c->run(&p, &a);
	if (c->min == c->max)
		snprintf(text, sizeof(text), "'pontoon %s' requires %d argument%s", c->name, c->min, c->min == 1 ? "" : "s");
	else
		snprintf(text, sizeof(text), "'pontoon %s' requires at %s %d argument%s", c->name, n < c->min ? "least" : "most", n < c->min ? c->min : c->max, (n < c->min ? c->min : c->max) == 1 ? "" : "s");
	return bad_usage(c, text, status == TAIL_RUN ? TAIL_RUN : 1);
}

int main(int argc, char **argv)
{
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
		return usage(NULL);
	if (i == argc || streq(argv[i], "help"))
		return usage(NULL);
	const char *group = is_group(argv[i]) ? argv[i++] : NULL;
	if (i == argc || (group && (streq(argv[i], "--help") || streq(argv[i], "-h"))))
		return usage(group);
	const struct command *c = find(group, argv[i]);
	if (!c) {
		fprintf(stderr, "pontoon: '%s%s%s' is not a pontoon command.\nSee 'pontoon --help'\n", group ? group : "", group ? " " : "", argv[i]);
		return 1;
	}
	int status = run(c, argv + i + 1);
	if (fflush(stdout) != 0 && status == 0)
		status = 1; /* what was asked for could not be printed */
	return status;
}
