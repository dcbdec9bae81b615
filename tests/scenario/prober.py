"""Asks again and again for a port that is not published; says so when it begins, and prints, when it is told to stop, how often it was asked and for how long at a time it was open.

Many questions are under way at once, and each counts for the moment when it was sent: an answer that a busy machine gives late is no gap in a window."""
import errno
import json
import select
import signal
import socket
import sys
import time

EVERY, PATIENCE = 0.01, 0.9  # seconds; before the kernel itself asks again
stop = False


def end(*_):
    global stop
    stop = True


signal.signal(signal.SIGTERM, end)
poll, asking, told, due = select.poll(), {}, [], 0.0
while not stop:
    now = time.monotonic()
    if now >= due:
        s, due = socket.socket(), now + EVERY
        s.setblocking(False)
        if not asking and not told:
            print("asks", flush=True)
        if s.connect_ex((sys.argv[1], int(sys.argv[2]))) in (0, errno.EINPROGRESS):
            asking[s.fileno()] = (now, s)
            poll.register(s, select.POLLOUT)
        else:
            told.append((now, False))
            s.close()
    for fd, _ in poll.poll(5):
        when, s = asking.pop(fd)
        told.append((when, s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0))
        poll.unregister(fd)
        s.close()
    for fd in [fd for fd, (when, _) in asking.items() if now - when > PATIENCE]:
        when, s = asking.pop(fd)
        told.append((when, False))
        poll.unregister(fd)
        s.close()
windows, began = [], None
for when, is_open in sorted(told):
    if is_open:
        began = began or when
    elif began:
        windows.append(when - began)
        began = None
windows.sort()
print(json.dumps({"asked": len(told), "windows": len(windows), "median_ms": round(windows[len(windows) // 2] * 1000) if windows else 0, "longest_ms": round(windows[-1] * 1000) if windows else 0}))
