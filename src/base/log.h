/* log: one sentence and fixed keys, to standard error. Any thread; a line is one write(2). Below ops/ only log_debug is used. */
#pragma once

#include "base/own.h"

enum log_level { LOG_L_DEBUG, LOG_L_INFO, LOG_L_WARN, LOG_L_ERROR, LOG_L_FATAL, LOG_L_N };

void log_set_level(enum log_level l);
enum log_level log_get_level(void);
int log_level_parse(const char *s, enum log_level *out); /* debug info warn(ing) error fatal; -EINVAL */
/* "2026-01-02T03:04:05.678901234Z level=info msg="..." key=value"; the caller writes keys into the format: "container started id=%.12s" */
void log_at(enum log_level l, const char *fmt, ...) PRINTF(2, 3);
#define log_debug(...) log_at(LOG_L_DEBUG, __VA_ARGS__)
#define log_info(...)  log_at(LOG_L_INFO, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_L_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_L_ERROR, __VA_ARGS__)
