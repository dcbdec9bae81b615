/* systemd: libsystemd, loaded when it is first needed: with what it links it costs 1 MB, and a host may be without it. */
#pragma once

#include <dlfcn.h>
#include <stdbool.h>

#define SYSTEMD_POINTER(name) __typeof__(&name) name;
#define SYSTEMD_FIND(name)    lib.loaded &= (*(void **)&lib.name = dlsym(handle, #name)) != NULL;

/* `lib` with pointers to its functions, from a list X(one) X(two), and lib_load(), for one thread at a time. lib.loaded: they are all there, and stay. */
#define SYSTEMD_LIBRARY(FUNCTIONS)                                                                                                                                                        \
	static struct {                                                                                                                                                                   \
		bool loaded;                                                                                                                                                              \
		FUNCTIONS(SYSTEMD_POINTER)                                                                                                                                                \
	} lib;                                                                                                                                                                            \
	static void lib_load(void)                                                                                                                                                        \
	{                                                                                                                                                                                 \
		void *handle = dlopen("libsystemd.so.0", RTLD_NOW);                                                                                                                       \
		if (!handle)                                                                                                                                                              \
			return;                                                                                                                                                           \
		lib.loaded = true;                                                                                                                                                        \
		FUNCTIONS(SYSTEMD_FIND)                                                                                                                                                   \
	}
