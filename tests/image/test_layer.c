/* What the program test cannot reach from outside: small limits, a descriptor that fails, deep trees. Needs root:
 * layers have owners. */
#include "image/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "image/load.h"
#include "image/source.h"
#include "image/tree.h"
#include "test.h"

/* A job in a new directory. */
struct fixture {
	char dir[64];
	struct job job;
};

static void own_fixture(struct fixture *f)
{
	if (f->job.dir > 0)
		close(f->job.dir);
	if (f->job.in > 0)
		close(f->job.in);
	if (f->job.report > 0)
		close(f->job.report);
	remove_tree(f->dir, NULL);
}

static bool set_up(struct fixture *f, int in)
{
	strcpy(f->dir, "/var/tmp/pontoon-layer.XXXXXX");
	if (!mkdtemp(f->dir))
		return false;
	job_init(
		&f->job, in, open("/dev/null", O_WRONLY | O_CLOEXEC), open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return f->job.dir > 0 && f->job.report > 0 && in >= 0;
}

/* A tar of `files` files of `size` bytes and `dirs` directories, in memory. */
static int make_tar(unsigned files, size_t size, unsigned dirs, bool compressed)
{
	int fd = memfd_create("tar", MFD_CLOEXEC);
	struct archive *a = archive_write_new();
	char *data = calloc(1, size + 1), name[64];
	archive_write_set_format_ustar(a);
	if (compressed)
		archive_write_add_filter_gzip(a);
	archive_write_open_fd(a, fd);
	for (unsigned i = 0; i < files + dirs; i++) {
		struct archive_entry *e = archive_entry_new();
		snprintf(name, sizeof(name), "%s%u", i < files ? "f" : "d", i);
		archive_entry_set_pathname(e, name);
		archive_entry_set_filetype(e, i < files ? AE_IFREG : AE_IFDIR);
		archive_entry_set_perm(e, 0644);
		archive_entry_set_size(e, i < files ? (la_int64_t)size : 0);
		archive_write_header(a, e);
		if (i < files)
			archive_write_data(a, data, size);
		archive_entry_free(e);
	}
	archive_write_free(a);
	free(data);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static bool is_root(void)
{
	return geteuid() == 0;
}

static void check_limit(void (*shrink)(struct job_budget *b), int in, const char *part)
{
	OWN(own_fixture) struct fixture f = {};
	struct layer l = {};
	struct err e = {};
	REQUIRE(set_up(&f, in));
	if (shrink)
		shrink(&f.job.budget);
	int r = layer_unpack(&f.job, f.job.in, NULL, &l, &e);
	CHECK_INT(r, part ? -E2BIG : 0);
	CHECK_INT(e.kind, part ? ERR_TOO_LARGE : ERR_INTERNAL);
	if (part && !strstr(e.msg, part))
		CHECK_STR(e.msg, part);
	job_clear(&f.job);
	CHECK(rmdir(f.dir) == 0); /* nothing was left in it */
}

static void few_entries(struct job_budget *b)
{
	b->entries = 9;
}
static void few_bytes(struct job_budget *b)
{
	b->bytes = 1 << 20;
}
static void small_files(struct job_budget *b)
{
	b->file = 999;
}
static void little_text(struct job_budget *b)
{
	b->dir_text = 100;
}

TEST(limits)
{
	if (!is_root())
		SKIP("needs root");
	check_limit(NULL, make_tar(10, 1000, 10, false), NULL);
	check_limit(few_entries, make_tar(10, 1000, 0, false), "too many entries");
	check_limit(few_bytes, make_tar(2, 1 << 20, 0, false), "too large");
	check_limit(few_bytes, make_tar(2, 1 << 20, 0, true), "too large"); /* some KB of gzip */
	check_limit(small_files, make_tar(1, 1000, 0, false), "too large");
	check_limit(little_text, make_tar(0, 0, 10, false), "too many directories");
}

TEST(load_counts_the_spool_too)
{
	OWN(own_fixture) struct fixture f = {};
	struct map have = {};
	struct err e = {};
	if (!is_root())
		SKIP("needs root");
	REQUIRE(set_up(&f, make_tar(100, 20000, 0, true)));
	f.job.budget.bytes = 1 << 20;
	CHECK_INT(load_run(&f.job, &have, NULL, &e), -E2BIG);
	job_clear(&f.job);
	CHECK(rmdir(f.dir) == 0);
}

/* The descriptor's own error is told, not what a parser makes of it. */
TEST(unreadable_input)
{
	OWN(own_fixture) struct fixture f = {};
	struct layer l = {};
	struct err e = {};
	if (!is_root())
		SKIP("needs root");
	REQUIRE(set_up(&f, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
	CHECK_INT(layer_unpack(&f.job, f.job.in, NULL, &l, &e), -EISDIR);
	CHECK_INT(e.kind, ERR_INTERNAL);
	CHECK(strstr(e.msg, "read the archive"));
}

/* Links let a layer be deeper than any of its names; it must still be removable with few descriptors. */
TEST(deep_trees)
{
	OWN(own_fixture) struct fixture f = {};
	OWN(own_tree) struct tree *t = NULL;
	struct err e = {};
	struct tree_meta m = {.mode = 0755};
	char path[LIMIT_IMAGE_PATH + 1];
	if (!is_root())
		SKIP("needs root");
	REQUIRE(set_up(&f, open("/dev/null", O_RDONLY | O_CLOEXEC)));
	REQUIRE(tree_new(f.job.dir, &f.job.budget, &t, &e) == 0);
	/* each round: 100 levels below the link of the round before, and a link to the lowest */
	for (unsigned round = 0; round < 30; round++) {
		size_t n = round ? (size_t)sprintf(path, "l%u", round - 1) : 0;
		for (unsigned i = 0; i < 100; i++)
			n += (size_t)sprintf(path + n, "%sd", n ? "/" : "");
		if (tree_dir(t, path, &m, &e) != 0)
			printf("# round %u: %s\n", round, e.msg);
		REQUIRE(e.code == 0);
		char name[16];
		snprintf(name, sizeof(name), "l%u", round);
		REQUIRE(tree_symlink(t, name, path, &m, &e) == 0);
	}
	tree_free(STEAL(t));
	int before = dup(0);
	job_clear(&f.job);
	int after = dup(0);
	CHECK_INT(after, before + 1);
	close(before);
	close(after);
	CHECK(rmdir(f.dir) == 0);
}

/* Directories that a name asks for count as entries. */
TEST(implied_directories_count)
{
	OWN(own_fixture) struct fixture f = {};
	OWN(own_tree) struct tree *t = NULL;
	struct err e = {};
	struct tree_meta m = {.mode = 0644};
	int fd = -1;
	if (!is_root())
		SKIP("needs root");
	REQUIRE(set_up(&f, open("/dev/null", O_RDONLY | O_CLOEXEC)));
	f.job.budget.entries = 3;
	REQUIRE(tree_new(f.job.dir, &f.job.budget, &t, &e) == 0);
	REQUIRE(tree_file(t, "a/b/c/file", &fd, &e) == 0);
	CHECK_INT(tree_file_end(t, "a/b/c/file", fd, &m, &e), 0);
	CHECK_INT(f.job.budget.entries, 0);
	CHECK_INT(tree_file(t, "a/b/d/file", &fd, &e), -E2BIG);
	CHECK_INT(e.kind, ERR_TOO_LARGE);
}

TEST(sources)
{
	int fd = make_tar(3, 100000, 0, true);
	uint64_t budget = 1 << 30;
	OWN(own_source) struct source *s = NULL;
	struct err e = {};
	const void *p;
	ssize_t n;
	uint64_t sum = 0;
	REQUIRE(source_open(fd, &budget, &s, &e) == 0);
	CHECK_STR(source_format(s), "gzip");
	while ((n = source_next(s, &p, &e)) > 0)
		sum += (uint64_t)n;
	CHECK_INT(n, 0);
	CHECK_INT(source_next(s, &p, &e), 0);
	CHECK(sum > 300000 && budget == (1 << 30) - sum);
	CHECK_INT(source_consumed(s), lseek(fd, 0, SEEK_END));
	close(fd);
}

TESTS(T(limits), T(load_counts_the_spool_too), T(unreadable_input), T(deep_trees), T(implied_directories_count),
	T(sources))
