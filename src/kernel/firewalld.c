/* What firewalld does to the rules the kernel tells, too (kernel/monitor.c), but in pieces; and with the legacy iptables it does not. After a
 * reload firewalld says so, which is when repairing is in time.
 *
 * libsystemd is loaded when there is a bus, and not by a host without one.
 *
 * tests/scenario/test_heal.py, with a bus and a firewalld of its own. */
#include "kernel/firewalld.h"

#ifdef HAVE_LIBSYSTEMD

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/systemd.h"

#define NAME "org.fedoraproject.FirewallD1"

#define FUNCTIONS(X)                                                                                                                                                                      \
	X(sd_bus_open_system) X(sd_bus_add_match_async) X(sd_bus_close_unref) X(sd_bus_get_events) X(sd_bus_get_timeout) X(sd_bus_get_fd) X(sd_bus_process)
SYSTEMD_LIBRARY(FUNCTIONS)

static bool load(void)
{
	const char *address = getenv("DBUS_SYSTEM_BUS_ADDRESS");
	bool bus = address || access("/run/dbus/system_bus_socket", F_OK) == 0;
	if (bus && !lib.loaded)
		lib_load();
	return bus && lib.loaded;
}

struct firewalld {
	sd_bus *bus;
	bool told;
};

bool firewalld_is_built_in(void)
{
	return true;
}

static int tell(sd_bus_message *m, void *arg, sd_bus_error *error)
{
	(void)m;
	(void)error;
	((struct firewalld *)arg)->told = true;
	return 0;
}

struct firewalld *firewalld_open(void)
{
	static const char *const rules[] = {"type='signal',sender='" NAME "',interface='" NAME "',member='Reloaded'",
		"type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" NAME "'"};
	struct firewalld *f = load() ? calloc(1, sizeof(*f)) : NULL;
	if (!f)
		return NULL;
	int r = lib.sd_bus_open_system(&f->bus);
	for (size_t i = 0; r >= 0 && i < ARRAY_LEN(rules); i++)
		r = lib.sd_bus_add_match_async(f->bus, NULL, rules[i], tell, NULL, f);
	if (r >= 0)
		return f;
	firewalld_free(f);
	return NULL;
}

void firewalld_free(struct firewalld *f)
{
	if (f && f->bus)
		lib.sd_bus_close_unref(f->bus);
	free(f);
}

struct pollfd firewalld_poll(struct firewalld *f, int *timeout)
{
	int events = lib.sd_bus_get_events(f->bus);
	uint64_t until; /* CLOCK_MONOTONIC, us */
	if (lib.sd_bus_get_timeout(f->bus, &until) >= 0 && until != UINT64_MAX) {
		int64_t left = ((int64_t)until - clock_mono_ns() / 1000 + 999) / 1000;
		int ms = left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
		if (*timeout < 0 || ms < *timeout)
			*timeout = ms;
	}
	return (struct pollfd){.fd = lib.sd_bus_get_fd(f->bus), .events = (short)(events < 0 ? 0 : events)};
}

int firewalld_take(struct firewalld *f)
{
	int r;
	while ((r = lib.sd_bus_process(f->bus, NULL)) > 0)
		;
	bool told = f->told;
	f->told = false;
	return r < 0 ? r : told;
}

#else

bool firewalld_is_built_in(void)
{
	return false;
}

struct firewalld *firewalld_open(void)
{
	return NULL;
}

void firewalld_free(struct firewalld *f)
{
	(void)f;
}

struct pollfd firewalld_poll(struct firewalld *f, int *timeout)
{
	(void)f;
	(void)timeout;
	return (struct pollfd){.fd = -1};
}

int firewalld_take(struct firewalld *f)
{
	(void)f;
	return 0;
}

#endif
