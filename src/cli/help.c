#include "cli/help.h"

#include <string.h>

#include "cli/globals.h"

#define NEAR 2 /* edits that a slip of the fingers makes */

static const struct {
	const char *name, *help;
} groups[] = {{"container", "Manage containers"}, {"context", "Manage contexts: daemons by name"}, {"image", "Manage images"}, {"network", "Manage networks"}, {"system", "Look at the daemon and what it keeps"}, {"volume", "Manage volumes"}};

/* By "group command"; top-level names stand for themselves. */
static const struct {
	const char *name, *text;
} examples[] = {
	{"attach", "pontoon attach web              # detach again with ctrl-p ctrl-q"},
	{"commit", "pontoon commit -m 'with curl' web web:curl"},
	{"context create", "pontoon context create remote --docker host=tcp://server.example:2376,ca=ca.pem,cert=cert.pem,key=key.pem\n  pontoon context create other --docker host=unix:///run/other/pontoon.sock --description 'a try'"},
	{"context update", "pontoon context update remote --docker host=tcp://new.example:2376,ca=ca.pem,cert=cert.pem,key=key.pem"},
	{"context use", "pontoon context use remote\n  pontoon context use default"},
	{"cp", "pontoon cp web:/etc/hosts .\n  tar c dir | pontoon cp - web:/srv"},
	{"create", "pontoon create --name web -p 8080:80 nginx"},
	{"df", "pontoon system df -v"},
	{"doctor", "pontoon doctor && echo 'the network is as it should be'\n  pontoon doctor --repair"},
	{"events", "pontoon events --filter type=network --since 1h\n  pontoon events --format json --until 0s --since 10m"},
	{"exec", "pontoon exec -it web sh\n  pontoon exec -u 1000 -w /tmp -e A=b web env"},
	{"exposure", "pontoon exposure\n  pontoon exposure --format '{{.Published}} {{.Scope}}: {{.From}}'"},
	{"history", "pontoon history --no-trunc alpine"},
	{"images", "pontoon images --format '{{.Repository}}:{{.Tag}} {{.Size}}'"},
	{"import", "tar c -C rootfs . | pontoon import -c 'CMD [\"/bin/sh\"]' - base:1"},
	{"info", "pontoon info --format '{{.DefaultRuntime}}'"},
	{"inspect", "pontoon inspect --format '{{.NetworkSettings.IPAddress}}' web\n  pontoon inspect --type network shop"},
	{"kill", "pontoon kill -s HUP web"},
	{"load", "pontoon load -i saved.tar"},
	{"logs", "pontoon logs -f --tail 100 web\n  pontoon logs --since 10m -t web"},
	{"network connect", "pontoon network connect --alias db --ip 10.1.0.5 shop postgres"},
	{"network create", "pontoon network create --subnet 10.1.0.0/16 shop\n  pontoon network create --internal --ipv6 back"},
	{"network ls", "pontoon network ls --filter driver=bridge"},
	{"ps", "pontoon ps -a --filter status=exited --format 'table {{.Names}}\\t{{.Status}}'"},
	{"pull", "pontoon pull debian:12\n  pontoon pull localhost:5000/team/app@sha256:..."},
	{"restart", "pontoon restart -t 3 web"},
	{"rm", "pontoon rm -f web\n  pontoon rm $(pontoon ps -aq --filter status=exited)"},
	{"run", "pontoon run -it --rm alpine sh\n  pontoon run -d --name web --network shop -p 8080:80 -v data:/srv --restart unless-stopped nginx"},
	{"search", "pontoon search --filter is-official=true nginx\n  pontoon search localhost:5000/nginx"},
	{"stats", "pontoon stats --no-stream"},
	{"stop", "pontoon stop -t 30 web"},
	{"system prune", "pontoon system prune --filter until=24h"},
	{"tag", "pontoon tag alpine localhost:5000/alpine:mine"},
	{"update", "pontoon update --memory 512m --restart always web"},
	{"volume create", "pontoon volume create --label keep=1 data"},
	{"wait", "exit $(pontoon wait job)"},
};

/* What docker has as a command and Pontoon has not. */
static const struct {
	const char *names, *text;
} outside[] = {
	{"build buildx builder bake", "Pontoon builds no images. Build elsewhere, for example with `buildah build -t NAME .` and `buildah push NAME docker-archive:image.tar:NAME`, and load the result: `pontoon load -i image.tar`"},
	{"swarm service stack node secret config", "Pontoon serves one host and has no swarm mode. For containers that belong together use docker-compose with DOCKER_HOST set to Pontoon's socket"},
	{"plugin", "Pontoon has no plugins: its network, volume and log drivers are built in"},
	{"checkpoint", "Pontoon has no checkpoints: use pause and unpause, or stop and start"},
	{"trust manifest", "Pontoon signs and assembles no images: use cosign, skopeo or buildah, which need no daemon"},
	{"compose", "use docker-compose with DOCKER_HOST set to Pontoon's socket"},
};

static const char *example_of(const char *group, const char *name)
{
	char both[128];
	snprintf(both, sizeof(both), "%s %s", group ? group : "", name);
	for (size_t i = 0; i < ARRAY_LEN(examples); i++)
		if (streq(examples[i].name, both) || (streq(examples[i].name, name) && (!group || (!streq(group, "network") && !streq(group, "context")))))
			return examples[i].text;
	return NULL;
}

static bool is_listed(const struct command *c, const char *group)
{
	return group ? c->group && streq(c->group, group) : c->top;
}

static void list(const struct command *const *tables, size_t n, const char *group)
{
	for (size_t t = 0; t < n; t++)
		for (const struct command *c = tables[t]; c->name; c++)
			if (is_listed(c, group))
				printf("  %-11s %s\n", c->name, c->help);
}

int help_all(const struct command *const *tables, size_t n)
{
	printf("Usage:  pontoon [OPTIONS] COMMAND\n\nContainers and their networks.\n\nCommands:\n");
	list(tables, n, NULL);
	puts("\nManagement Commands:");
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		printf("  %-11s %s\n", groups[i].name, groups[i].help);
	puts("\nOptions:");
	globals_usage();
	puts("\nRun 'pontoon COMMAND --help' for more on a command.");
	return 0;
}

int help_group(const struct command *const *tables, size_t n, const char *group)
{
	printf("Usage:  pontoon %s COMMAND\n\n", group);
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (streq(groups[i].name, group))
			printf("%s\n\n", groups[i].help);
	puts("Commands:");
	list(tables, n, group);
	printf("\nRun 'pontoon %s COMMAND --help' for more on a command.\n", group);
	return 0;
}

static void other_names(const struct command *c)
{
	if (c->group && c->top)
		printf("\nAliases:\n  pontoon %s %s, pontoon %s\n", c->group, c->name, c->name);
	else if (c->group && c->alias)
		printf("\nAliases:\n  pontoon %s %s, pontoon %s %s\n", c->group, c->name, c->group, c->alias);
}

int help_command(const struct command *c, const char *group)
{
	const char *example = example_of(group ? group : c->top ? NULL : c->group, c->name);
	printf("Usage:  pontoon %s%s%s%s%s\n\n%s\n", group ? group : "", group ? " " : "", c->name, c->nflags ? " [OPTIONS] " : " ", c->usage, c->help);
	other_names(c);
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
	if (example)
		printf("\nExamples:\n  %s\n", example);
	return 0;
}

unsigned help_distance(const char *a, const char *b, unsigned max)
{
	unsigned row[32];
	size_t n = strlen(b);
	if (n >= ARRAY_LEN(row) || strlen(a) >= ARRAY_LEN(row))
		return max + 1;
	for (size_t k = 0; k <= n; k++)
		row[k] = (unsigned)k;
	for (size_t i = 0; a[i]; i++) {
		unsigned corner = row[0]++;
		for (size_t k = 0; k < n; k++) {
			unsigned change = corner + (a[i] != b[k]), least = row[k + 1] < row[k] ? row[k + 1] : row[k];
			corner = row[k + 1];
			row[k + 1] = change < least + 1 ? change : least + 1;
		}
	}
	return row[n] > max ? max + 1 : row[n];
}

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = words; *p; p += strcspn(p, " "), p += *p == ' ')
		if (strncmp(p, word, n) == 0 && (p[n] == ' ' || !p[n]))
			return true;
	return false;
}

int help_unknown(const struct command *const *tables, size_t n, const char *group, const char *name)
{
	bool any = false;
	for (size_t i = 0; !group && i < ARRAY_LEN(outside); i++) {
		if (!has_word(outside[i].names, name))
			continue;
		fprintf(stderr, "pontoon: there is no '%s' here: %s\n", name, outside[i].text);
		return 1;
	}
	fprintf(stderr, "pontoon: '%s%s%s' is not a pontoon command.\n", group ? group : "", group ? " " : "", name);
	for (size_t t = 0; t < n; t++) {
		for (const struct command *c = tables[t]; c->name; c++) {
			if (!is_listed(c, group) || (help_distance(name, c->name, NEAR) > NEAR && strncmp(c->name, name, strlen(name)) != 0))
				continue;
			fprintf(stderr, "%s  pontoon %s%s%s\n", any ? "" : "\nDid you mean\n", group ? group : "", group ? " " : "", c->name);
			any = true;
		}
	}
	fprintf(stderr, "%sSee 'pontoon%s%s --help'\n", any ? "\n" : "", group ? " " : "", group ? group : "");
	return 1;
}
