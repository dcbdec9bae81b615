/* help: what the command line says about itself: usage, examples, near misses, and what Pontoon has not. */
#pragma once

#include "cli/cmd.h"

int help_all(const struct command *const *tables, size_t n);
int help_group(const struct command *const *tables, size_t n, const char *group);
int help_command(const struct command *c, const char *group);
/* A command that is not there, with what may have been meant or where to find it. The exit status. */
int help_unknown(const struct command *const *tables, size_t n, const char *group, const char *name);
/* Edit distance with a bound: more than max is max + 1. Pure. */
unsigned help_distance(const char *a, const char *b, unsigned max);
