"""What a job finds around it, as one line of JSON: run by `lynx-runner check`."""

import json
import os
import socket
import sys


def telemetry():
    host, port = os.environ["TETRYX_TELEMETRY_TARGET"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as s:
        s.settimeout(10)
        # The beginning of HTTP/2 and empty settings; the answer begins with settings.
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        head = b""
        while len(head) < 9:
            part = s.recv(9 - len(head))
            if not part:
                raise OSError("the connection was closed")
            head += part
        if head[3] != 4:
            raise OSError("this is no telemetry server")


def files():
    with open(os.environ["TETRYX_RUN_CONFIG"]) as f:
        json.load(f)
    path = os.path.join(os.environ["TETRYX_OUTPUT_DIR"], "check.txt")
    with open(path, "w") as f:
        f.write("check")
    os.listdir(".")
    if len(sys.argv) > 1:
        with open(sys.argv[1], "rb") as f:
            f.read(1)


def basilisk():
    import Basilisk

    return getattr(Basilisk, "__version__", "unknown")


def status():
    with open("/proc/self/status") as f:
        fields = dict(line.split(":", 1) for line in f if ":" in line)
    return {k: fields.get(k, "").strip() for k in ("Uid", "CapEff", "NoNewPrivs", "Seccomp")}


def network():
    return [name for _, name in socket.if_nameindex()]


def root():
    try:
        os.rmdir("/lynx-check")
    except OSError:
        pass
    try:
        os.mkdir("/lynx-check")
    except OSError:
        return False
    return True


found = {"python": "%d.%d.%d" % sys.version_info[:3]}
for probe in (telemetry, files, basilisk, status, network, root):
    try:
        found[probe.__name__] = {"ok": True, "value": probe()}
    except BaseException as e:
        found[probe.__name__] = {"ok": False, "value": "%s: %s" % (type(e).__name__, e)}
print(json.dumps(found))
