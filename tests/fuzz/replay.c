/* Runs a fuzz target over kept inputs: every file of the directories (or the files) named on the command line, and with
 * -m N over N mutations of each. The mutations follow from the file's bytes alone, so every run makes the same ones.
 * What the target dies of is left in replay-crash in the current directory. The same target links with libFuzzer
 * instead of this file for a real search: see tests/fuzz/meson.build. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Present when a sanitizer is linked, which ends the program without a signal. */
extern void __sanitizer_set_death_callback(void (*f)(void)) __attribute__((weak));

static unsigned done, mutations, mutated;
static const uint8_t *now; /* the input that runs */
static size_t now_size;

static void keep_input(void)
{
	static const char text[] = "# the input is kept in replay-crash\n";
	int fd = now ? open("replay-crash", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
	if (fd >= 0 && write(fd, now, now_size) == (ssize_t)now_size &&
		write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
}

static void on_signal(int sig)
{
	keep_input();
	raise(sig); /* SA_RESETHAND: the second one ends the program */
}

static void run_input(const uint8_t *data, size_t n)
{
	now = data;
	now_size = n;
	LLVMFuzzerTestOneInput(data, n);
	now = NULL;
}

static uint64_t chance;

static size_t below(size_t n) /* xorshift; 0 for n = 0 */
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return n ? (size_t)(chance % n) : 0;
}

struct text {
	uint8_t *p;
	size_t n, cap;
};

/* Puts a copy of `bytes` in at `at`; what is too much for the buffer is left out. */
static void insert(struct text *t, size_t at, const void *bytes, size_t n)
{
	if (n > t->cap - t->n)
		return;
	memmove(t->p + at + n, t->p + at, t->n - at);
	memcpy(t->p + at, bytes, n);
	t->n += n;
}

static void change(struct text *t)
{
	static const char *const tokens[] = {"\"", "{", "}", "[", "]", ":", ",", ".", "/", "-", "\\", "\n", " ", "0",
		"-1", "255", "256", "65536", "4294967296", "9223372036854775808", "99999999999999999999", "1e999",
		"null", "\xff", "\xc0\xaf", "\xed\xa0\x80", "%s%n", "../"};
	uint8_t copy[256];
	size_t at = below(t->n), len;
	const char *s;
	switch (t->n ? below(7) : 3) {
	case 0:
		t->p[at] ^= (uint8_t)(1u << below(8));
		break;
	case 1:
		t->p[at] = (uint8_t)below(256);
		break;
	case 2: /* cut a piece out */
		len = 1 + below(t->n - at < 64 ? t->n - at : 64);
		len = len < t->n - at ? len : t->n - at;
		memmove(t->p + at, t->p + at + len, t->n - at - len);
		t->n -= len;
		break;
	case 3:
		s = tokens[below(sizeof(tokens) / sizeof(tokens[0]))];
		insert(t, at, s, strlen(s));
		break;
	case 4: /* a piece twice, elsewhere */
		len = below(t->n - at < sizeof(copy) ? t->n - at : sizeof(copy));
		memcpy(copy, t->p + at, len);
		insert(t, below(t->n + 1), copy, len);
		break;
	case 5:
		t->n = at;
		break;
	case 6: { /* two bytes change places */
		size_t other = below(t->n);
		uint8_t b = t->p[at];
		t->p[at] = t->p[other];
		t->p[other] = b;
		break;
	}
	}
}

static int run_mutations(const uint8_t *data, size_t n)
{
	chance = 14695981039346656037ull;
	for (size_t i = 0; i < n; i++)
		chance = (chance ^ data[i]) * 1099511628211ull;
	chance |= 1; /* zero would stay zero */
	for (unsigned i = 0; i < mutations; i++) {
		struct text t = {.p = malloc(2 * n + 256), .n = n, .cap = 2 * n + 256};
		if (!t.p)
			return 1;
		if (n)
			memcpy(t.p, data, n);
		for (size_t k = 1 + below(4); k > 0; k--)
			change(&t);
		uint8_t *exact = malloc(t.n ? t.n : 1);
		if (exact) {
			memcpy(exact, t.p, t.n);
			run_input(exact, t.n);
			mutated++;
		}
		free(t.p);
		free(exact);
		if (!exact)
			return 1;
	}
	return 0;
}

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
		run_input(data, n);
		done++;
		bad = run_mutations(data, n);
	}
	free(data);
	return bad;
}

static int run_path(const char *path)
{
	struct stat st;
	char below_it[4096];
	const struct dirent *d;
	int bad = 0;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return run_file(path);
	DIR *dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(below_it, sizeof(below_it), "%s/%s", path, d->d_name);
		bad |= run_path(below_it);
	}
	if (dir)
		closedir(dir);
	return bad || !dir;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
	int first = 1;
	if (argc > 2 && strcmp(argv[1], "-m") == 0) {
		mutations = (unsigned)strtoul(argv[2], NULL, 10);
		first = 3;
	}
	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(keep_input);
	} else {
		sigaction(SIGSEGV, &sa, NULL);
		sigaction(SIGBUS, &sa, NULL);
	}
	sigaction(SIGABRT, &sa, NULL);
	int bad = argc <= first;
	for (int i = first; i < argc; i++)
		bad |= run_path(argv[i]);
	/* a corpus that went missing must not pass as tested */
	printf("1..1\n%s 1 - %u inputs and %u mutations of them\n", bad || done == 0 ? "not ok" : "ok", done, mutated);
	return bad || done == 0;
}
