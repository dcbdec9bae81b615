/* notify: tells systemd how the daemon is (sd_notify(3)), without libsystemd. */
#pragma once

/* Takes NOTIFY_SOCKET out of the environment: children must not speak for the daemon. */
void notify_open(void);
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
