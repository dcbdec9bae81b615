/* "All capabilities" are those that the daemon has itself: in a container or a sandbox it may lack some, and nobody can give what he has not. */
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/strv.h"
#include "engine/caps.h"

static const char *const names[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
	"CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"};
static_assert(ARRAY_LEN(names) == CAP_CHECKPOINT_RESTORE + 1, "names[] is in the order of the kernel's numbers");

static bool is_own(const struct __user_cap_data_struct *own, const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(names); i++)
		if (streq(names[i], name))
			return own[i / 32].permitted >> (i % 32) & 1;
	return false;
}

void caps_keep_own(json_t *process)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct own[2] = {0};
	const char *set;
	json_t *list;
	if (syscall(SYS_capget, &head, own) < 0)
		return; /* the runtime will say what is wrong */
	json_object_foreach(json_object_get(process, "capabilities"), set, list)
	{
		(void)set;
		for (size_t i = json_array_size(list); i-- > 0;)
			if (!is_own(own, json_string_value(json_array_get(list, i))))
				json_array_remove(list, i);
	}
}
