#include "engine/size.h"

#include "base/du.h"
#include "engine/engine_int.h"

int64_t engine_container_size(const struct engine *en, const char *id)
{
	char upper[PATH_SIZE];
	return du_size(path_container(en, id, "upper", upper));
}
