#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/spawn.h"
#include "engine/engine_int.h"

#define LINE_LIMIT (64u << 20) /* a result holds the configurations of all images of an archive */
#define RESULT_FD  3
#define ARGS_MOST  1024 /* two for each mount of a container */
#define DIR_FD     4

static const struct {
	const char *name;
	enum err_kind kind;
} kinds[] = {{"invalid", ERR_INVALID}, {"not_found", ERR_NOT_FOUND}, {"conflict", ERR_CONFLICT}, {"too_large", ERR_TOO_LARGE}, {"unavailable", ERR_UNAVAILABLE}, {"unauthorized", ERR_UNAUTHORIZED}, {"internal", ERR_INTERNAL}};

static int told_error(const json_t *j, struct err *e)
{
	const char *kind = json_string_value(json_object_get(j, "kind")), *text = json_string_value(json_object_get(j, "message"));
	for (size_t i = 0; kind && text && i < ARRAY_LEN(kinds); i++)
		if (streq(kind, kinds[i].name))
			return err_as(e, kinds[i].kind, "%s", text);
	return err_set(e, -EPROTO, "pontoon-image told an error that is not understood");
}

/* One line. 1: it was the last. */
static int take_line(const struct image_job *j, const char *line, size_t n, json_t **result, struct err *e)
{
	OWN(own_json) json_t *o = NULL;
	if (json_parse(line, n, &o, e) < 0)
		return err_ctx(e, "pontoon-image");
	json_t *r = json_object_get(o, "result"), *bad = json_object_get(o, "error");
	if (r) {
		*result = json_incref(r);
		return 1;
	}
	if (json_is_object(bad) && json_object_get(bad, "kind"))
		return told_error(bad, e);
	char text[4096];
	if (n < sizeof(text) && j->progress) {
		memcpy(text, line, n);
		text[n] = '\0';
		if (!j->progress(j->arg, text))
			return err_set(e, -ECANCELED, "cancelled: the client has gone");
	}
	return 0;
}

/* False when the client has gone: a job that waits for a registry would not notice for long. */
static bool wait_line(const struct image_job *j, int fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = j->cancel > 0 ? j->cancel : -1}};
	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	return p[0].revents || !(p[1].revents & (POLLHUP | POLLERR));
}

static int read_lines(const struct image_job *j, int fd, json_t **result, struct err *e)
{
	OWN(own_buf) struct buf b = {.max = LINE_LIMIT};
	char block[65536];
	ssize_t n;
	int r = 0;
	for (;;) {
		if (!wait_line(j, fd))
			return err_set(e, -ECANCELED, "cancelled: the client has gone");
		n = read(fd, block, sizeof(block));
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, -errno, "read from pontoon-image");
		buf_put(&b, block, (size_t)n);
		if (b.bad)
			return err_set(e, -EPROTO, "pontoon-image told too much");
		for (char *nl; b.len && (nl = memchr(b.data, '\n', b.len));) {
			size_t len = (size_t)(nl - b.data);
			r = take_line(j, b.data, len, result, e);
			if (r != 0)
				return r < 0 ? r : 0;
			buf_drop(&b, len + 1);
		}
	}
	return err_set(e, -EIO, "pontoon-image ended without a result");
}

static int start(struct engine *en, const struct image_job *j, const char *name, const char *have, int result, pid_t *pid, struct err *e)
{
	char root[PATH_SIZE];
	const char *argv[ARGS_MOST] = {en->image_program, j->argv[0], "--root", root, "--job", name};
	size_t n = 6;
	snprintf(root, sizeof(root), "%s/image", en->conf.data_root);
	if (!en->image_program[0])
		return err_as(e, ERR_UNAVAILABLE, "the program pontoon-image was not found: install it beside pontoond, or name it with --image-program");
	if (have) {
		argv[n++] = "--have";
		argv[n++] = have;
	}
	for (size_t i = 1; j->argv[i]; i++) {
		if (n == ARRAY_LEN(argv) - 1)
			return err_as(e, ERR_INVALID, "too many options for an image job");
		argv[n++] = j->argv[i];
	}
	struct spawn_fd fds[5] = {{result, RESULT_FD}};
	struct spawn s = {.argv = argv, .fds = fds, .nfds = 1, .die_signal = SIGKILL};
	if (j->input >= 0)
		fds[s.nfds++] = (struct spawn_fd){j->input, 0};
	if (j->output >= 0)
		fds[s.nfds++] = (struct spawn_fd){j->output, 1};
	if (j->dir > 0)
		fds[s.nfds++] = (struct spawn_fd){j->dir, DIR_FD};
	fds[s.nfds++] = (struct spawn_fd){2, 2};
	return spawn_start(&s, pid, e);
}

/* The request as a file without a name: it may be larger than a pipe holds, and stands in no directory. */
static int request_file(const char *text, struct err *e)
{
	OWN(own_fd) int fd = memfd_create("request", MFD_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "make a request for pontoon-image");
	int r = write_all(fd, text, strlen(text));
	if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(e, r < 0 ? r : -errno, "write a request for pontoon-image");
	return STEAL_FD(fd);
}

static void own_pair(int (*p)[2])
{
	for (int i = 0; i < 2; i++)
		if ((*p)[i] >= 0)
			close((*p)[i]);
}

int engine_image_job(struct engine *en, const struct image_job *job, struct image_job_result *out, struct err *e)
{
	OWN(own_pair) int p[2] = {-1, -1};
	struct image_job asked = *job, *j = &asked;
	OWN(own_fd) int request = job->request ? request_file(job->request, e) : -1;
	if (job->request)
		try(asked.input = request);
	char id[ID_TEXT], have[PATH_SIZE + 16] = "", name[17];
	json_t *result = NULL;
	pid_t pid;
	int status;
	random_id(id);
	snprintf(name, sizeof(name), "%.16s", id);
	snprintf(out->tmp_dir, sizeof(out->tmp_dir), "%s/image/tmp/%s", en->conf.data_root, name);
	bool use_have = j->have && *j->have && streq(j->argv[0], "load");
	if (use_have) {
		snprintf(have, sizeof(have), "%s/image/tmp/%s.have", en->conf.data_root, name);
		try(write_file(have, j->have, strlen(j->have), 0600, e));
	}
	int r = pipe2(p, O_CLOEXEC) < 0 ? err_errno(e, -errno, "pipe") : start(en, j, name, use_have ? have : NULL, p[1], &pid, e);
	if (r >= 0) {
		close(STEAL_FD(p[1]));
		r = read_lines(j, p[0], &result, e);
		if (r < 0)
			kill(pid, SIGKILL);
		(void)spawn_wait(pid, &status, NULL);
		if (r >= 0 && status != 0)
			r = err_set(e, -EIO, "pontoon-image ended badly (status %d)", status);
	}
	if (use_have)
		unlink(have);
	if (r < 0) {
		struct err gone = {0};
		json_decref(result);
		if (remove_tree(out->tmp_dir, &gone) < 0)
			log_debug("%s", gone.msg);
		return r;
	}
	out->result = result;
	return 0;
}

static bool is_name(const char *s, const char *allowed, size_t most)
{
	return s && *s && strspn(s, allowed) == strlen(s) && strlen(s) <= most;
}

/* Layers whose archive was packed anew: what is a layer's name and what a file's, the job says, so both are looked at. */
static int take_blobs(struct engine *en, const struct image_job_result *r, struct err *e)
{
	size_t i;
	json_t *b;
	json_array_foreach(json_object_get(r->result, "blobs"), i, b)
	{
		const char *dir = json_string_value(json_object_get(b, "dir")), *file = json_string_value(json_object_get(b, "file"));
		char from[PATH_SIZE], to[PATH_SIZE];
		if (!is_name(dir, "0123456789abcdef", 16) || !is_name(file, "blob.0123456789", 23) || !str_starts(file, "blob."))
			return err_set(e, -EPROTO, "pontoon-image named a file that is none");
		snprintf(from, sizeof(from), "%s/%s", r->tmp_dir, file);
		snprintf(to, sizeof(to), "%s/image/layers/%s/blob", en->conf.data_root, dir);
		if (rename(from, to) < 0)
			return err_errno(e, -errno, "rename %s to %s", from, to);
	}
	return 0;
}

int engine_image_job_end(struct engine *en, struct image_job_result *r, bool keep, struct err *e)
{
	size_t i;
	json_t *l;
	int rc = 0;
	json_array_foreach(json_object_get(r->result, "layers"), i, l)
	{
		const char *dir = json_string_value(json_object_get(l, "dir"));
		char from[PATH_SIZE], to[PATH_SIZE];
		if (!keep || !dir || rc < 0)
			continue;
		if (strspn(dir, "0123456789abcdef") != strlen(dir) || strlen(dir) != 16) {
			rc = err_set(e, -EPROTO, "pontoon-image named a layer directory that is none: %.64s", dir);
			continue;
		}
		snprintf(from, sizeof(from), "%s/%s", r->tmp_dir, dir);
		snprintf(to, sizeof(to), "%s/image/layers/%s", en->conf.data_root, dir);
		if (rename(from, to) < 0)
			rc = err_errno(e, -errno, "rename %s to %s", from, to);
	}
	if (rc >= 0)
		rc = take_blobs(en, r, e);
	char layers[PATH_SIZE];
	snprintf(layers, sizeof(layers), "%s/image/layers", en->conf.data_root);
	OWN(own_fd) int fd = open(layers, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rc >= 0 && keep && (fd < 0 || fsync(fd) < 0))
		rc = err_errno(e, -errno, "sync %s", layers);
	struct err gone = {0};
	if (remove_tree(r->tmp_dir, &gone) < 0)
		log_debug("%s", gone.msg);
	return rc;
}

static int open_dir(const char *path, int *out, struct err *e)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "open %s", path);
	*out = fd;
	return 0;
}

int engine_open_layers(struct engine *en, int *out, struct err *e)
{
	char path[PATH_SIZE];
	snprintf(path, sizeof(path), "%s/image/layers", en->conf.data_root);
	return open_dir(path, out, e);
}

int engine_open_upper(struct engine *en, const char *id, int *out, struct err *e)
{
	char path[PATH_SIZE];
	return open_dir(path_container(en, id, "upper", path), out, e);
}
