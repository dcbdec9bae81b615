/* The store when the process or the disk gives way: a writer that is killed at any moment, and a file system whose k-th
 * write or flush fails. */
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#include "place.h"
#include "things.h"

/* Adds container k with its endpoint: both or none. */
static struct world *with_pair(const struct world *w, unsigned k)
{
	struct world *f = world_fork(w);
	char name[16];
	snprintf(name, sizeof(name), "c%u", k);
	struct container *c = things_container(k, name);
	c->seq = k + 1;
	struct endpoint *ep = endpoint_new(c->id, "net");
	things_join(f, ep);
	world_put(f, c, NULL);
	world_put(f, ep, NULL);
	return f;
}

/* The child: saves pair after pair, and says so after each commit. */
static void write_pairs(int out)
{
	struct store *s;
	struct world *w;
	if (store_open(path, &s, NULL) < 0 || store_load(s, &w, NULL) < 0)
		_exit(1);
	for (;;) {
		unsigned k = (unsigned)world_count(w, NOUN_CONTAINER);
		struct world *f = with_pair(w, k);
		if (save(s, f, false, NULL) < 0)
			_exit(2);
		world_merge(w, f);
		if (write_all(out, &(unsigned){k + 1}, sizeof(k)) < 0)
			_exit(3);
		while (k >= 200) /* enough addresses taken: wait for the end */
			pause();
	}
}

TEST(killed_writer)
{
	unsigned said = 0;
	struct err e = {0};
	fresh_dir();
	for (int round = 0; round < 25 && said < 180; round++) {
		int p[2];
		REQUIRE(pipe(p) == 0);
		pid_t child = fork();
		if (child == 0) {
			close(p[0]);
			write_pairs(p[1]);
		}
		close(p[1]);
		unsigned wait = 1 + roll(8);
		unsigned k;
		while (wait-- && read(p[0], &k, sizeof(k)) == sizeof(k))
			said = k;
		kill(child, SIGKILL);
		while (read(p[0], &k, sizeof(k)) == sizeof(k))
			said = k;
		close(p[0]);
		int status;
		REQUIRE(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
		struct store *s;
		REQUIRE(store_open(path, &s, &e) == 0);
		OWN(own_world) struct world *w = NULL;
		REQUIRE(store_load(s, &w, &e) == 0);
		size_t n = world_count(w, NOUN_CONTAINER);
		CHECK(n == said || n == said + 1); /* the last one may have been committed, but not yet said */
		CHECK_INT(world_joined_in_network(w, "net"), n);
		store_close(s);
	}
	CHECK(said >= 20);
}

/* A VFS over the default one, whose k-th call of a kind that changes the disk fails. */
static sqlite3_vfs *real_vfs;
static unsigned fail_at, calls;
static bool failed, fail_all; /* fail_all: the disk stays broken after the first failure */

struct shim_file {
	sqlite3_file base;
	sqlite3_file *real;
};

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct shim_file *)f)->real;
}

static bool broken(void)
{
	if (fail_at && ++calls == fail_at)
		failed = true;
	return failed && (calls == fail_at || fail_all);
}

static int shim_close(sqlite3_file *f)
{
	int r = real_of(f)->pMethods ? real_of(f)->pMethods->xClose(real_of(f)) : SQLITE_OK;
	sqlite3_free(real_of(f));
	return r;
}
static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}
static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	return broken() ? SQLITE_FULL : real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return broken() ? SQLITE_IOERR_TRUNCATE : real_of(f)->pMethods->xTruncate(real_of(f), n);
}
static int shim_sync(sqlite3_file *f, int flags)
{
	return broken() ? SQLITE_IOERR_FSYNC : real_of(f)->pMethods->xSync(real_of(f), flags);
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), n);
}
static int shim_lock(sqlite3_file *f, int l)
{
	return real_of(f)->pMethods->xLock(real_of(f), l);
}
static int shim_unlock(sqlite3_file *f, int l)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), l);
}
static int shim_reserved(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}
static int shim_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int shim_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}
static int shim_traits(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int shim_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	static const sqlite3_io_methods methods = {1, shim_close, shim_read, shim_write, shim_truncate, shim_sync,
		shim_size, shim_lock, shim_unlock, shim_reserved, shim_control, shim_sector, shim_traits};
	struct shim_file *s = (struct shim_file *)f;
	(void)v;
	s->real = sqlite3_malloc(real_vfs->szOsFile);
	if (!s->real)
		return SQLITE_NOMEM;
	memset(s->real, 0, (size_t)real_vfs->szOsFile);
	int r = real_vfs->xOpen(real_vfs, name, s->real, flags, out);
	s->base.pMethods = s->real->pMethods ? &methods : NULL;
	if (!s->base.pMethods)
		sqlite3_free(s->real);
	return r;
}

static void use_shim(void)
{
	static sqlite3_vfs shim;
	if (real_vfs)
		return;
	real_vfs = sqlite3_vfs_find(NULL);
	shim = *real_vfs;
	shim.zName = "shim";
	shim.szOsFile = sizeof(struct shim_file);
	shim.pNext = NULL;
	shim.xOpen = shim_open;
	sqlite3_vfs_register(&shim, 1);
}

static char *text_of(struct store *s)
{
	OWN(own_world) struct world *w = NULL;
	struct err e = {0};
	if (store_load(s, &w, &e) < 0) {
		printf("# %s\n", e.msg);
		return strdup("cannot be loaded");
	}
	return things_text(w);
}

/* Every write and flush below one transaction fails in turn, once alone and once for good. The connection goes on with
 * the old state; after a new start it is the old or the new one (a commit whose flush failed may have reached the
 * disk), and whole in both cases. */
static void fail_everything(bool for_good, bool durable)
{
	for (unsigned k = 1;; k++) {
		struct store *s;
		struct err e = {0};
		things_seed = 5;
		fresh_dir();
		fail_at = 0;
		failed = false;
		REQUIRE(store_open(path, &s, &e) == 0);
		OWN(own_world) struct world *w = world_new();
		struct world *f = world_fork(w);
		for (int i = 0; i < 60; i++)
			things_change(f);
		REQUIRE(save(s, f, true, &e) == 0);
		world_merge(w, f);
		f = world_fork(w);
		for (int i = 0; i < 40; i++)
			things_change(f);
		OWN(own_free) char *old = things_text(w);
		OWN(own_free) char *new = things_text(f);
		fail_all = for_good;
		calls = 0;
		fail_at = k;
		int r = save(s, f, durable, &e);
		bool hit = failed;
		if (!for_good)
			fail_at = 0;
		if (hit && r < 0) {
			OWN(own_free) char *now = text_of(s);
			CHECK(r == -ENOSPC || r == -EIO);
			CHECK(strstr(e.msg, path));
			CHECK_STR(now, old);
			if (!for_good) /* the disk is well again: so is the store */
				CHECK_INT(save(s, f, durable, &e), 0);
		}
		store_close(s);
		fail_at = 0;
		failed = false;
		REQUIRE(store_open(path, &s, &e) == 0);
		OWN(own_free) char *after = text_of(s);
		CHECK(streq(after, new) || (r < 0 && for_good && streq(after, old)));
		store_close(s);
		world_free(f);
		if (test_failed || !hit) {
			printf("# %u calls failed in turn\n", k - 1);
			CHECK(k > 3);
			break;
		}
	}
}

TEST(one_write_fails)
{
	use_shim();
	fail_everything(false, true);
}

TEST(disk_dies)
{
	use_shim();
	fail_everything(true, true);
	fail_everything(true, false);
	remove_tree(dir, NULL);
}

TESTS(T(killed_writer), T(one_write_fails), T(disk_dies))
