/* config_int: what the files of config share: the table of options, and how what is wrong is kept. */
#pragma once

#include "daemon/config.h"

enum conf_kind { CONF_BOOL, CONF_INT, CONF_STR, CONF_LIST, CONF_KV };

struct conf_row {
	const char *flag;      /* "--mtu"; NULL: file only */
	const char *alias;     /* "-H" */
	const char *key;       /* in daemon.json; NULL: flag only */
	enum conf_kind kind;
	size_t off;
	const char *fallback;  /* as text; NULL: none */
	const char *help;
	bool live;             /* SIGHUP changes it in a running daemon */
};

#define CONF_ROWS 128 /* at most */
extern const struct conf_row conf_rows[];
extern const size_t conf_nrows;
const struct conf_row *conf_of_flag(const char *arg, size_t len); /* "--mtu", "-H"; NULL: unknown */
const struct conf_row *conf_of_key(const char *key);

enum given { GIVEN_NOT, GIVEN_FLAG, GIVEN_FILE };
enum given config_given(const enum given *given, const char *flag);

void PRINTF(2, 3) config_wrong(struct config_daemon *c, const char *fmt, ...);
const char *conf_expected(enum conf_kind kind); /* "a number" */
/* config_foreign.c: dockerd's options that Pontoon has not; NULL: it is none of them. */
struct conf_foreign;
const struct conf_foreign *conf_foreign_flag(const char *arg, size_t len);
const struct conf_foreign *conf_foreign_key(const char *key);
bool conf_foreign_is_switch(const struct conf_foreign *f);
void conf_foreign_arg(struct config_daemon *c, const struct conf_foreign *f, const char *value);
void conf_foreign_file(struct config_daemon *c, const struct conf_foreign *f, const json_t *v);
/* config_digest.c: what was read becomes the core's configuration; given: by row. */
void config_digest(struct config_daemon *c, const enum given *given);
