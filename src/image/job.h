/* job: one run of pontoon-image, and its contract with whoever runs it (the daemon).
 *
 *   pontoon-image import --root DIR --job NAME [--message M] [--change C]... [--platform os/arch[/variant]] [--repo-tag R[:T]]
 *   pontoon-image load   --root DIR --job NAME [--have FILE]
 *   pontoon-image pack   --root DIR --job NAME [--name NAME] [--as PATH]
 *   pontoon-image pull | push | save | commit | inspect | auth   --root DIR --job NAME
 *
 * Standard input: the archive, a pipe or a file, plain or compressed (gzip, bzip2, xz, zstd). `import`: a tar of a root file system, or anything
 * that `docker import` takes. `load`: what `docker save` writes, or an OCI image layout.
 * `pack`: descriptor 4 is a directory, of which NAME ("." = all that is in it) is written to standard output as a tar, called PATH there (pack.h); no input, no
 * images and layers in the result.
 * `pull` and the others: standard input is one JSON object, the request (pull.h, push.h, save.h, commit.h): it may hold secrets, which never stand on a command line.
 * `push`, `save`: descriptor 4 is the daemon's directory of layers, `commit`: that of the container; `save` writes the archive to standard output.
 * Descriptor 3: lines of JSON. First any number of Docker's progress objects, at most about ten a second:
 *   {"status":"Loading layer","id":"<12 hex>","progressDetail":{"current":N,"total":N}}
 * and last exactly one of
 *   {"result":{"images":[{"id":"<64 hex>","config":"<the configuration's JSON text>","tags":["alpine:latest"],"digests":["alpine@sha256:..."],
 *                         "diff_ids":["sha256:..."]}],
 *              "layers":[{"diff_id":"sha256:...","dir":"<name>","size":N}]}}
 * (and "pushed":[{"tag","digest","size"}], "blobs":[{"dir","file"}] of a push, "about" of inspect)
 *   {"error":{"kind":"invalid|not_found|conflict|too_large|unavailable|unauthorized|internal","message":"..."}}
 * Exit status: 0 with a result, 1 with an error, 2 when descriptor 3 is not there or the command line is wrong (then the text is on standard error). Killed by
 * SIGSYS: the system call filter stopped it; nothing it wrote is to be trusted.
 *
 * An image's id is the SHA-256 of its configuration text. "layers" lists each new layer once, with <name> = 16 random hex digits and
 * `size` = the sum of its files' bytes: DIR/tmp/NAME/<name>/diff holds its files, ready to be a lower directory of overlayfs, and .../blob the tar they came from,
 * compressed as it came or with zstd: save and push need its very bytes. Whoever runs the job moves DIR/tmp/NAME/<name> away and removes DIR/tmp/NAME. A layer whose diff id is in FILE (one "sha256:..." a line) is read and
 * verified but not kept. File systems are synced before the result is told.
 *
 * The program makes DIR/tmp/NAME if it is not there, writes nowhere else, and empties it when it fails (the empty directory stays: it is the
 * process's root by then). What a killed job leaves there is garbage.
 */
#pragma once

#include "base/json.h"
#include "base/limits.h"
#include "base/platform.h"

struct job_budget { /* what is left of the limits; tests make them small */
	uint64_t bytes;
	uint64_t entries;
	size_t dir_text;
	uint64_t file; /* one file's size: not counted down */
};

struct job {
	int in;     /* the archive */
	int report; /* descriptor 3 */
	int dir;    /* DIR/tmp/NAME */
	struct job_budget budget;
	int64_t said_ns; /* time of the last progress line */
	struct platform host;
};

struct job_layer {
	const char *diff_id, *dir;
	int64_t size;
};
struct job_image {
	const char *id; /* hex */
	const char *config;
	struct strv tags, digests, diff_ids;
};
struct job_pushed {
	const char *tag, *digest; /* of the manifest */
	int64_t size;
};
struct job_blob {
	const char *dir, *file; /* a layer that the daemon has; the file in DIR/tmp/NAME that is to be its blob from now on */
};
struct job_result {
	struct json_vec images; /* struct job_image */
	struct json_vec layers; /* struct job_layer */
	struct json_vec pushed; /* struct job_pushed */
	struct json_vec blobs;  /* struct job_blob */
	const char *about;      /* JSON: what `inspect` found; NULL */
};

/* What a progress line is about. */
struct job_progress {
	const char *status; /* "Loading layer" */
	const char *id;     /* "" = none */
	uint64_t total;     /* 0 = not known */
};

void job_init(struct job *j, int in, int report, int dir);
/* Tells, unless a line was written less than 100 ms ago. -EPIPE when nobody listens any more: the job ends. */
int job_say(struct job *j, const struct job_progress *p, uint64_t current, struct err *e);
/* Tells in any case. current -1: the line has no numbers. */
int job_line(struct job *j, const struct job_progress *p, int64_t current, struct err *e);
/* What a push tells programs. */
int job_aux(struct job *j, const struct job_pushed *p, struct err *e);
/* A sentence without an id. */
int job_note(struct job *j, struct err *e, const char *fmt, ...) PRINTF(3, 4);
/* A result of another shape: of stat and the copying verbs. Takes the object. */
int job_tell_json(struct job *j, json_t *result, struct err *e);
int job_tell_result(struct job *j, const struct job_result *r, struct err *e);
int job_tell_error(int report, const struct err *why);
/* A new directory <16 hex>/diff in the job's directory; *diff is open on it. */
#define JOB_DIR 17
int job_new_layer(struct job *j, char name[static JOB_DIR], int *diff, struct err *e);
/* A file without a name in the job's directory: what is received goes there. */
int job_scratch(struct job *j, struct err *e);
/* Removes everything in the job's directory. */
void job_clear(struct job *j);
