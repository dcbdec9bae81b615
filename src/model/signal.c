#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>

#include "model/spec.h"

static const struct {
	const char *name;
	int sig;
} signals[] = {{"SIGHUP", SIGHUP}, {"SIGINT", SIGINT}, {"SIGQUIT", SIGQUIT}, {"SIGILL", SIGILL}, {"SIGTRAP", SIGTRAP},
	{"SIGABRT", SIGABRT}, {"SIGIOT", SIGABRT}, {"SIGBUS", SIGBUS}, {"SIGFPE", SIGFPE}, {"SIGKILL", SIGKILL},
	{"SIGUSR1", SIGUSR1}, {"SIGSEGV", SIGSEGV}, {"SIGUSR2", SIGUSR2}, {"SIGPIPE", SIGPIPE}, {"SIGALRM", SIGALRM},
	{"SIGTERM", SIGTERM}, {"SIGSTKFLT", 16}, {"SIGCHLD", SIGCHLD}, {"SIGCONT", SIGCONT}, {"SIGSTOP", SIGSTOP},
	{"SIGTSTP", SIGTSTP}, {"SIGTTIN", SIGTTIN}, {"SIGTTOU", SIGTTOU}, {"SIGURG", SIGURG}, {"SIGXCPU", SIGXCPU},
	{"SIGXFSZ", SIGXFSZ}, {"SIGVTALRM", SIGVTALRM}, {"SIGPROF", SIGPROF}, {"SIGWINCH", SIGWINCH}, {"SIGIO", SIGIO},
	{"SIGPWR", SIGPWR}, {"SIGSYS", SIGSYS}, {"SIGCLD", SIGCHLD}, {"SIGPOLL", SIGIO}};

#define RT_MIN 34 /* what programs call SIGRTMIN, whatever the C library keeps for itself */
#define RT_MAX 64

static int offset(const char *s, int base, int sign, int *out)
{
	char *end;
	if (!*s) {
		*out = base;
		return 0;
	}
	if (s[0] != (sign > 0 ? '+' : '-') || s[1] < '0' || s[1] > '9')
		return -EINVAL;
	long n = strtol(s, &end, 10);
	if (*end || n < -RT_MAX || n > RT_MAX)
		return -EINVAL;
	*out = base + (int)n;
	return *out < RT_MIN || *out > RT_MAX ? -EINVAL : 0;
}

int signal_parse(const char *s, int *out)
{
	int sig;
	if (str_empty(s))
		return -EINVAL;
	if (strspn(s, "0123456789") == strlen(s)) {
		long n = strtol(s, NULL, 10);
		if (n < 1 || n > RT_MAX)
			return -EINVAL;
		*out = (int)n;
		return 0;
	}
	const char *name = strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s;
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		if (strcasecmp(name, signals[i].name + 3) == 0) {
			*out = signals[i].sig;
			return 0;
		}
	}
	if ((strncasecmp(name, "RTMIN", 5) == 0 && offset(name + 5, RT_MIN, 1, &sig) == 0) ||
		(strncasecmp(name, "RTMAX", 5) == 0 && offset(name + 5, RT_MAX, -1, &sig) == 0)) {
		*out = sig;
		return 0;
	}
	return -EINVAL;
}

const char *signal_name(int sig)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (signals[i].sig == sig)
			return signals[i].name;
	return NULL;
}
