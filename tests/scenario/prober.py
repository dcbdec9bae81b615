"""Asks again and again for a port that is not published; prints, when it is told to stop, how often it was asked and for how long at a time it was open."""
import json
import signal
import socket
import sys
import time

stop = False


def end(*_):
    global stop
    stop = True


signal.signal(signal.SIGTERM, end)
asked, windows, began = 0, [], None
while not stop:
    s = socket.socket()
    s.settimeout(0.05)
    asked += 1
    now = time.monotonic()
    try:
        s.connect((sys.argv[1], int(sys.argv[2])))
        began = began or now
    except OSError:
        if began:
            windows.append(now - began)
        began = None
    s.close()
    time.sleep(0.002)
windows.sort()
print(json.dumps({"asked": asked, "windows": len(windows), "median_ms": round(windows[len(windows) // 2] * 1000) if windows else 0, "longest_ms": round(windows[-1] * 1000) if windows else 0}))
