/* template: the Go template forms that people use with --format: fields, pipelines, json, range, if, with, variables, comparison, and the usual functions.
 * Pure: from a template and a JSON value to text. */
#pragma once

#include "base/buf.h"
#include "base/json.h"

/* Errors: INVALID "template parsing error: ..." naming what is wrong. missing: what a field that is not there prints ("<no value>"). */
int template_run(const char *text, const json_t *dot, struct buf *out, struct err *e);
