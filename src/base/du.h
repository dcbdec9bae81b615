/* du: how large a tree of files is. Follows no link and crosses no mount point; a file with several names counts for its share in each, a directory for nothing. */
#pragma once

#include <stdint.h>

#define DU_DEPTH 128 /* what is deeper is not counted */

/* Sum of the sizes of all files below path; 0 when there is nothing. What vanishes meanwhile is not counted. */
int64_t du_size(const char *path);
