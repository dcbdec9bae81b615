#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "place.h"
#include "things.h"

/* True when the store says the same as the world. */
static bool same(struct store *s, const struct world *w)
{
	OWN(own_world) struct world *loaded = NULL;
	struct err e = {0};
	if (store_load(s, &loaded, &e) < 0) {
		printf("# load: %s\n", e.msg);
		return false;
	}
	OWN(own_free) char *a = things_text(w);
	OWN(own_free) char *b = things_text(loaded);
	if (strcmp(a, b) == 0)
		return true;
	printf("# world:\n%s# store:\n%s", a, b);
	return false;
}

TEST(new_file)
{
	struct store *s = NULL;
	struct err e = {0};
	struct stat st;
	fresh_dir();
	REQUIRE(store_open(path, &s, &e) == 0);
	REQUIRE(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 0777, 0600);
	OWN(own_world) struct world *w = NULL;
	CHECK(store_load(s, &w, &e) == 0 && world_count(w, NOUN_NETWORK) == 0);
	store_close(s);
	REQUIRE(store_open(path, &s, &e) == 0);
	store_close(s);
	CHECK(store_open("/nowhere/at/all.db", &s, &e) < 0);
	CHECK_STR(e.msg, "open the store /nowhere/at/all.db: No such file or directory");
}

TEST(random_worlds_come_back)
{
	struct store *s = NULL;
	struct err e = {0};
	fresh_dir();
	REQUIRE(store_open(path, &s, &e) == 0);
	OWN(own_world) struct world *w = world_new();
	for (int round = 0; round < 150; round++) {
		struct world *f = world_fork(w);
		for (unsigned k = roll(15); k; k--)
			things_change(f);
		int r = save(s, f, roll(2), &e);
		if (r < 0)
			printf("# round %d: %s\n", round, e.msg);
		REQUIRE(r == 0);
		world_merge(w, f);
		if (round % 10 == 0) {
			REQUIRE(same(s, w));
			store_close(s);
			REQUIRE(store_open(path, &s, &e) == 0);
			REQUIRE(same(s, w));
		}
	}
	CHECK(world_count(w, NOUN_CONTAINER) > 5 && world_count(w, NOUN_ENDPOINT) > 5 && world_count(w, NOUN_TAG) > 2);
	store_close(s);
}

/* The k-th write of a transaction fails, for every k: what was there stays, and the next attempt succeeds. */
TEST(every_write_fails_once)
{
	struct store *s = NULL;
	struct err e = {0};
	unsigned k = 1;
	int r;
	fresh_dir();
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
	for (;; k++) {
		store_fail_after(s, k);
		r = save(s, f, true, &e);
		store_fail_after(s, 0);
		if (r == 0)
			break;
		REQUIRE(r == -ENOSPC && strstr(e.msg, "no space left on device") && strstr(e.msg, path));
		REQUIRE(same(s, w));
	}
	CHECK(k > 20);
	world_merge(w, f);
	CHECK(same(s, w));
	store_close(s);
}

/* A disk that is really full, as SQLite tells it: no page can be added. */
TEST(full_disk)
{
	struct store *s = NULL;
	struct err e = {0};
	int r = 0;
	fresh_dir();
	REQUIRE(store_open(path, &s, &e) == 0);
	OWN(own_world) struct world *w = world_new();
	REQUIRE(sqlite3_exec(s->db, "PRAGMA max_page_count=40", NULL, NULL, NULL) == SQLITE_OK);
	for (int i = 0; i < 2000 && r == 0; i++) {
		struct world *f = world_fork(w);
		char name[16];
		snprintf(name, sizeof(name), "c%d", i);
		struct container *c = things_container(100000 + (unsigned)i, name);
		c->seq = i + 1;
		world_put(f, c, NULL);
		r = save(s, f, false, &e);
		if (r == 0)
			world_merge(w, f);
		else
			world_free(f);
	}
	CHECK_INT(r, -ENOSPC);
	CHECK_INT(e.kind, ERR_INTERNAL);
	CHECK(strstr(e.msg, "no space left on device"));
	CHECK(same(s, w));
	sqlite3_exec(s->db, "PRAGMA max_page_count=100000", NULL, NULL, NULL);
	struct world *f = world_fork(w);
	things_change(f);
	CHECK_INT(save(s, f, false, &e), 0);
	world_merge(w, f);
	CHECK(same(s, w));
	store_close(s);
}

/* What a picker got wrong is refused by the schema. */
TEST(schema_guards)
{
	struct store *s = NULL;
	struct err e = {0};
	fresh_dir();
	REQUIRE(store_open(path, &s, &e) == 0);
	OWN(own_world) struct world *w = world_new();
	struct world *f = world_fork(w);
	struct container *a = things_container(1, "same"), *b = things_container(2, "same");
	a->seq = 1;
	b->seq = 2;
	world_put(f, a, NULL);
	world_put(f, b, NULL);
	CHECK(save(s, f, true, &e) < 0 && e.kind == ERR_CONFLICT);
	CHECK(strstr(e.msg, "container.name"));
	world_free(f);
	f = world_fork(w);
	a = things_container(1, "one");
	b = things_container(2, "two");
	a->seq = 1;
	b->seq = 2;
	struct endpoint *x = endpoint_new(a->id, "net"), *y = endpoint_new(b->id, "net");
	x->joined = y->joined = true;
	x->ip4 = y->ip4 = ip4(0x0a000002);
	world_put(f, a, NULL);
	world_put(f, b, NULL);
	world_put(f, x, NULL);
	world_put(f, y, NULL);
	CHECK(save(s, f, true, &e) < 0 && e.kind == ERR_CONFLICT);
	CHECK(strstr(e.msg, "endpoint.ip4"));
	world_free(f);
	f = world_fork(w);
	world_put(f, endpoint_new("nobody", "net"), NULL);
	CHECK(save(s, f, true, &e) < 0 && e.kind == ERR_CONFLICT); /* an endpoint of no container: seen at the commit */
	world_free(f);
	f = world_fork(w);
	world_put(f, tag_new("x:latest", "no-image"), NULL);
	CHECK(save(s, f, true, &e) < 0 && e.kind == ERR_CONFLICT);
	world_free(f);
	static const struct {
		const char *host, *other;
		int first, count, other_first, other_count;
		bool fits;
	} ports[] = {{"0.0.0.0", "0.0.0.0", 80, 1, 80, 1, false}, {"0.0.0.0", "127.0.0.1", 80, 1, 80, 1, false}, {"127.0.0.1", "0.0.0.0", 80, 1, 80, 1, false},
		{"127.0.0.1", "127.0.0.2", 80, 9, 80, 9, true}, {"0.0.0.0", "::", 80, 1, 80, 1, true}, {"0.0.0.0", "0.0.0.0", 80, 10, 89, 1, false},
		{"0.0.0.0", "0.0.0.0", 80, 10, 90, 1, true}, {"0.0.0.0", "0.0.0.0", 80, 10, 70, 11, false}, {"0.0.0.0", "0.0.0.0", 80, 10, 70, 10, true},
		{"::", "fd00::1", 80, 10, 70, 30, false}, {"fd00::1", "fd00::1", 80, 30, 85, 2, false}};
	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		f = world_fork(w);
		struct container *c = things_container(1, "one");
		struct port *p = port_new(c->id, 0), *q = port_new(c->id, 1);
		c->seq = 1;
		p->proto = q->proto = IPPROTO_TCP;
		ip_parse(ports[i].host, &p->host_ip);
		ip_parse(ports[i].other, &q->host_ip);
		p->host_port = (uint16_t)ports[i].first;
		p->count = (uint16_t)ports[i].count;
		q->host_port = (uint16_t)ports[i].other_first;
		q->count = (uint16_t)ports[i].other_count;
		p->ip = q->ip = ip4(0x0a000002);
		world_put(f, c, NULL);
		world_put(f, p, NULL);
		world_put(f, q, NULL);
		REQUIRE(store_begin(s, false, &e) == 0);
		int r = store_save(s, f, &e);
		CHECK_INT(r >= 0, ports[i].fits);
		CHECK(r >= 0 || (e.kind == ERR_CONFLICT && strstr(e.msg, "port is already allocated")));
		store_rollback(s);
		world_free(f);
	}
	CHECK(same(s, w));
	store_close(s);
}

TEST(one_at_a_time)
{
	struct store *s = NULL, *other = NULL;
	struct err e = {0};
	fresh_dir();
	REQUIRE(store_open(path, &s, &e) == 0);
	CHECK_INT(store_open(path, &other, &e), -EBUSY);
	CHECK_INT(e.kind, ERR_UNAVAILABLE);
	char want[200];
	snprintf(want, sizeof(want), "%s is in use by another pontoond: every daemon needs a --data-root of its own",
		path);
	CHECK_STR(e.msg, want);
	CHECK_INT(store_set(s, "k", "v", &e), 0); /* the first goes on */
	store_close(s);
	REQUIRE(store_open(path, &other, &e) == 0);
	store_close(other);
}

static bool refused(const char *text, bool whole)
{
	OWN(own_buf) struct buf before = {0}, after = {0};
	struct store *s = NULL;
	struct err e = {0};
	if (read_file(path, 1u << 24, &before, &e) < 0)
		return false;
	int r = store_open(path, &s, &e);
	struct world *w = NULL;
	if (r >= 0 && !whole)
		r = store_load(s, &w, &e);
	world_free(w);
	store_close(s);
	printf("# %s\n", e.msg);
	if (r != -EUCLEAN || !strstr(e.msg, path) || !strstr(e.msg, text) ||
		read_file(path, 1u << 24, &after, NULL) < 0)
		return false;
	return !whole || (before.len == after.len && memcmp(before.data, after.data, before.len) == 0);
}

static void sql(const char *text)
{
	sqlite3 *db = NULL;
	CHECK(sqlite3_open(path, &db) == SQLITE_OK && sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
}

TEST(other_files_are_refused)
{
	struct store *s = NULL;
	struct err e = {0};
	char junk[5000];
	fresh_dir();
	memset(junk, 'x', sizeof(junk));
	write_file(path, "x", 1, 0600, NULL);
	CHECK(refused("is not a store of Pontoon", true));
	write_file(path, junk, sizeof(junk), 0600, NULL);
	CHECK(refused("is not a store of Pontoon", true));
	fresh_dir();
	sql("CREATE TABLE t(x)");
	CHECK(refused("is not a store of Pontoon", true));
	fresh_dir();
	sql("PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
	CHECK(refused("is not a store of Pontoon", true));
	fresh_dir();
	sql("PRAGMA application_id=7");
	CHECK(refused("is not a store of Pontoon", true));
	fresh_dir();
	REQUIRE(store_open(path, &s, &e) == 0);
	store_close(s);
	sql("PRAGMA user_version=99");
	CHECK(refused("newer version of Pontoon (schema 99", true));
	CHECK_INT(access(path, F_OK), 0);
}

/* Damage inside: the header is right, pages or rows are not. */
TEST(damage_is_named)
{
	struct store *s = NULL;
	struct err e = {0};
	OWN(own_world) struct world *w = world_new();
	char zero[4096] = {0};
	fresh_dir();
	REQUIRE(store_open(path, &s, &e) == 0);
	for (int i = 0; i < 30; i++) {
		struct world *f = world_fork(w);
		char name[16];
		snprintf(name, sizeof(name), "n%d", i);
		struct network *n = things_network(200000 + (unsigned)i, name);
		n->seq = i + 1;
		world_put(f, n, NULL);
		REQUIRE(save(s, f, false, &e) == 0);
		world_merge(w, f);
	}
	store_close(s);
	OWN(own_buf) struct buf good = {0};
	REQUIRE(read_file(path, 1u << 24, &good, &e) == 0);
	int found = 0;
	for (size_t page = 1; page < good.len / 4096; page++) {
		OWN(own_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
		REQUIRE(pwrite(fd, good.data, good.len, 0) == (ssize_t)good.len);
		REQUIRE(pwrite(fd, zero, 4096, (off_t)page * 4096) == 4096);
		struct world *loaded = NULL;
		int r = store_open(path, &s, &e);
		if (r == 0) {
			r = store_load(s, &loaded, &e);
			CHECK(r < 0 || world_count(loaded, NOUN_NETWORK) == 30);
			store_close(s);
		}
		world_free(loaded);
		found += r == -EUCLEAN && strstr(e.msg, path) && strstr(e.msg, "is damaged");
	}
	CHECK(found > 0);
	write_file(path, good.data, good.len, 0600, NULL);
	sql("UPDATE network SET spec='{\"v4\":{\"net\":\"10.0.0.0/99\"}}' WHERE name='n3'");
	CHECK(refused("stored subnet \"10.0.0.0/99\" cannot be read", false));
	write_file(path, good.data, good.len, 0600, NULL);
	sql("UPDATE network SET driver='warp' WHERE name='n3'");
	CHECK(refused("unknown driver warp", false));
}

TEST(intents_and_settings)
{
	struct store *s = NULL;
	struct err e = {0};
	OWN(own_arena) struct arena a = {0};
	struct store_intent *it;
	const char *value = "?";
	int64_t one, two;
	size_t n;
	fresh_dir();
	REQUIRE(store_open(path, &s, &e) == 0);
	REQUIRE(store_begin(s, false, &e) == 0);
	CHECK_INT(store_intent_add(s, "start", "{\"a\":1}", &one, &e), 0);
	CHECK_INT(store_intent_add(s, "stop", "{}", &two, &e), 0);
	REQUIRE(store_commit(s, &e) == 0);
	CHECK_INT(store_syncs(s), 0);
	REQUIRE(store_begin(s, true, &e) == 0);
	CHECK_INT(store_intent_del(s, one, &e), 0);
	REQUIRE(store_commit(s, &e) == 0);
	CHECK_INT(store_syncs(s), 1);
	REQUIRE(store_begin(s, true, &e) == 0);
	CHECK_INT(store_intent_del(s, two, &e), 0);
	CHECK_INT(store_set(s, "gone", "1", &e), 0);
	store_rollback(s);
	CHECK_INT(store_syncs(s), 1);
	REQUIRE(store_intents(s, &a, &it, &n, &e) == 0);
	REQUIRE(n == 1);
	CHECK(it[0].id == two && streq(it[0].verb, "stop") && streq(it[0].what, "{}"));
	CHECK(store_get(s, "gone", &a, &value, &e) == 0 && !value);
	CHECK_INT(store_set(s, "k", "", &e), 0);
	CHECK(store_get(s, "k", &a, &value, &e) == 0 && value && streq(value, ""));
	CHECK_INT(store_set(s, "k", "v", &e), 0);
	store_close(s);
	REQUIRE(store_open(path, &s, &e) == 0);
	CHECK(store_get(s, "k", &a, &value, &e) == 0 && streq(value, "v"));
	CHECK_INT(store_set(s, "k", NULL, &e), 0);
	CHECK(store_get(s, "k", &a, &value, &e) == 0 && !value);
	store_close(s);
	REQUIRE(store_open(":memory:", &s, &e) == 0);
	store_close(s);
	remove_tree(dir, NULL);
}

TESTS(T(new_file), T(random_worlds_come_back), T(every_write_fails_once), T(full_disk), T(schema_guards),
	T(one_at_a_time), T(other_files_are_refused), T(damage_is_named), T(intents_and_settings))
