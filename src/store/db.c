#include "store/db.h"

#include <errno.h>
#include <string.h>

#define MEND "nothing was changed; restore it from a backup, or move it away to start with an empty one"

static int no_space(struct store *s, const char *what, struct err *e)
{
	return err_set(e, -ENOSPC, "%s: no space left on device: make room below the data root (%s)", what, s->path);
}

int db_error(struct store *s, const char *what, struct err *e)
{
	int code = sqlite3_errcode(s->db), os = sqlite3_system_errno(s->db);
	const char *text = sqlite3_errmsg(s->db);
	switch (code & 0xff) {
	case SQLITE_FULL:
		return no_space(s, what, e);
	case SQLITE_NOMEM:
		return err_nomem(e);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_as(e, ERR_UNAVAILABLE, "%s is in use by another program", s->path);
	case SQLITE_CONSTRAINT:
		return err_as(e, ERR_CONFLICT, "%s: %s", what, text);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(e, -EUCLEAN, "the store %s is damaged (%s: %s): " MEND, s->path, what, text);
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return err_set(e, -EROFS, "the store %s cannot be written (%s): %s", s->path, what, text);
	default:
		if (os == ENOSPC || os == EDQUOT)
			return no_space(s, what, e);
		return err_set(e, -EIO, "the store %s: %s: %s%s%s", s->path, what, text, os ? ": " : "",
			os ? strerror(os) : "");
	}
}

bool db_injected(struct store *s, const char *what, struct err *e)
{
	if (!s->fail_after || --s->fail_after)
		return false;
	no_space(s, what, e);
	return true;
}

int db_run(struct store *s, const char *sql, const char *what, struct err *e)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_error(s, what, e);
}

int db_prepare(struct store *s, const char *sql, sqlite3_stmt **out, struct err *e)
{
	return sqlite3_prepare_v2(s->db, sql, -1, out, NULL) == SQLITE_OK ? 0 : db_error(s, "read", e);
}

static void bound(struct store *s, int code)
{
	s->bind_failed |= code != SQLITE_OK;
}

void db_text(struct store *s, enum statement st, int i, const char *text)
{
	if (text)
		bound(s, sqlite3_bind_text(s->st[st], i, text, -1, SQLITE_TRANSIENT));
	else
		bound(s, sqlite3_bind_null(s->st[st], i));
}

void db_int(struct store *s, enum statement st, int i, int64_t v)
{
	bound(s, sqlite3_bind_int64(s->st[st], i, v));
}

void db_json(struct store *s, enum statement st, int i, json_t *j)
{
	char *text = j ? json_text(j) : NULL;
	json_decref(j);
	if (text)
		db_text(s, st, i, text);
	else
		s->bind_failed = true;
	free(text);
}

int db_step(struct store *s, enum statement st, const char *what, struct err *e)
{
	bool bad = s->bind_failed;
	int r = 0;
	s->bind_failed = false;
	if (bad)
		r = err_nomem(e);
	else if (db_injected(s, what, e))
		r = -ENOSPC;
	else if (sqlite3_step(s->st[st]) != SQLITE_DONE)
		r = db_error(s, what, e);
	sqlite3_reset(s->st[st]);
	sqlite3_clear_bindings(s->st[st]);
	return r;
}
