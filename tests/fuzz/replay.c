/* Runs a fuzz target over kept inputs: every file of the directories (or the files) named on the command line. The same
 * target links with libFuzzer instead of this file for a real search: see tests/fuzz/meson.build. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned done;

static int run_file(const char *path)
{
	FILE *f = fopen(path, "r");
	struct stat st;
	if (!f || fstat(fileno(f), &st) < 0 || st.st_size > 1 << 24) {
		fprintf(stderr, "cannot read %s\n", path);
		if (f)
			fclose(f);
		return 1;
	}
	/* exactly as large as the input, so that the address sanitizer sees a read beyond it */
	size_t n = (size_t)st.st_size;
	uint8_t *data = malloc(n ? n : 1);
	int bad = !data || fread(data, 1, n, f) != n;
	fclose(f);
	if (!bad) {
		LLVMFuzzerTestOneInput(data, n);
		done++;
	}
	free(data);
	return bad;
}

static int run_path(const char *path)
{
	struct stat st;
	char below[4096];
	const struct dirent *d;
	int bad = 0;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return run_file(path);
	DIR *dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, d->d_name);
		bad |= run_path(below);
	}
	if (dir)
		closedir(dir);
	return bad || !dir;
}

int main(int argc, char **argv)
{
	int bad = argc < 2;
	for (int i = 1; i < argc; i++)
		bad |= run_path(argv[i]);
	/* a corpus that went missing must not pass as tested */
	printf("1..1\n%s 1 - %u inputs replayed\n", bad || done == 0 ? "not ok" : "ok", done);
	return bad || done == 0;
}
