/* A job in a temporary directory for the targets that write: small limits, and a look around afterwards: nothing may
 * appear beside the job. Run these as root in a mount namespace of their own, so that owners and devices are really
 * made. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/job.h"

struct fuzz_job {
	char dir[64]; /* holds "job" alone */
	struct job job;
};

static inline void fuzz_job_open(struct fuzz_job *f, const uint8_t *data, size_t size)
{
	char path[80];
	strcpy(f->dir, "/tmp/pontoon-fuzz.XXXXXX");
	int in = memfd_create("input", MFD_CLOEXEC);
	if (!mkdtemp(f->dir) || in < 0 || write_all(in, data, size) < 0 || lseek(in, 0, SEEK_SET) < 0)
		abort();
	snprintf(path, sizeof(path), "%s/job", f->dir);
	if (mkdir(path, 0700) < 0)
		abort();
	job_init(&f->job, in, open("/dev/null", O_WRONLY | O_CLOEXEC), open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	f->job.budget = (struct job_budget){.bytes = 8u << 20, .entries = 500, .dir_text = 16384, .file = 1u << 20};
	f->job.host = platform_of_machine("x86_64");
}

static inline void fuzz_job_close(struct fuzz_job *f)
{
	DIR *d = opendir(f->dir);
	const struct dirent *x;
	while (d && (x = readdir(d)))
		if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0 && strcmp(x->d_name, "job") != 0)
			abort();
	if (d)
		closedir(d);
	job_clear(&f->job);
	close(f->job.in);
	close(f->job.report);
	close(f->job.dir);
	if (remove_tree(f->dir, NULL) < 0)
		abort();
}
