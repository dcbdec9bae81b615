/* place: a directory of the test's own for a store, and how a world is saved there. */
#pragma once

#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "store/db.h"

static char dir[] = "/tmp/pontoon-store-XXXXXX";
static char path[64];

static void fresh_dir(void)
{
	static bool made;
	if (!made && !mkdtemp(dir))
		abort();
	made = true;
	snprintf(path, sizeof(path), "%s/pontoon.db", dir);
	remove_tree(dir, NULL);
	mkdir(dir, 0700);
}

static int save(struct store *s, const struct world *fork, bool durable, struct err *e)
{
	int r = store_begin(s, durable, e);
	if (r >= 0)
		r = store_save(s, fork, e);
	if (r >= 0)
		r = store_commit(s, e);
	if (r < 0)
		store_rollback(s);
	return r;
}
