/* A tar that is put among a container's files, which are not trusted either: links of theirs lead out, and what is written stays in the view. The first byte chooses
 * the place. */
#include "fuzz_image_job.h"

#include "image/copy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int make_view(int job)
{
	static const char *const links[][2] = {{"..", "up"}, {"/", "top"}, {"../../../../../../tmp", "far"}, {"d/../..", "d/parent"}, {"loop", "loop"}, {"/d/f", "file"}};
	if (mkdirat(job, "view", 0755) < 0)
		abort();
	int view = openat(job, "view", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (view < 0 || mkdirat(view, "d", 0755) < 0 || close(openat(view, "d/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) < 0)
		abort();
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (symlinkat(links[i][0], view, links[i][1]) < 0)
			abort();
	return view;
}

/* Beside the view there is nothing in the job's directory. */
static void check_alone(int job)
{
	int fd = openat(job, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *x;
	if (!d)
		abort();
	while ((x = readdir(d)))
		if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0 && strcmp(x->d_name, "view") != 0)
			abort();
	closedir(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const places[] = {"/", "/d", "/up", "/top/d", "/far", "/d/parent/d", "/loop", "/file"};
	struct fuzz_job f;
	struct err e = {};
	if (size == 0)
		return 0;
	fuzz_job_open(&f, data + 1, size - 1);
	int view = make_view(f.job.dir);
	struct copy_in in = {.path = places[data[0] % ARRAY_LEN(places)], .place = {.keep_kinds = data[0] & 8, .own = data[0] & 16, .uid = 7, .gid = 7}};
	if (copy_put(&f.job, view, &in, &e) < 0 && !e.msg[0])
		abort();
	close(view);
	check_alone(f.job.dir);
	fuzz_job_close(&f);
	return 0;
}
