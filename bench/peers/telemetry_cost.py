#!/usr/bin/env python3
"""What telemetry at every step adds to the time of the tutorial's stepping.

    telemetry_cost.py PAIRS

Prints, as JSON, the CPU seconds, of all threads, of each of PAIRS steppings without
telemetry and of each with it, in turn, to a server in a process of its own that
acknowledges every batch; and, apart from these, the seconds that importing gRPC and
opening a stream took.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

sys.path.insert(0, "/lynx/work")

PARAMETERS = {
    "semi_major_axis_m": 7e6,
    "eccentricity": 1e-4,
    "inclination_deg": 33.3,
    "raan_deg": 48.2,
    "arg_perigee_deg": 347.8,
    "true_anomaly_deg": 85.3,
    "duration_orbits": 0.75,
}


def serve(port: int) -> None:
    """Acknowledge what comes, until killed."""
    import grpc

    from lynx_sdk._proto import telemetry_pb2

    def stream(requests: Iterator[Any], _: grpc.ServicerContext) -> Iterator[Any]:
        for request in requests:
            yield telemetry_pb2.StreamResponse(acknowledged_sequence=request.sequence)

    server = grpc.server(futures.ThreadPoolExecutor(2))
    method = grpc.stream_stream_rpc_method_handler(
        stream,
        request_deserializer=telemetry_pb2.StreamRequest.FromString,
        response_serializer=telemetry_pb2.StreamResponse.SerializeToString,
    )
    service = {"Stream": method}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("lynx.telemetry.v1.TelemetryService", service),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Measure."""
    port = free_port()
    server = os.fork()
    if server == 0:
        serve(port)
        os._exit(0)
    try:
        print(json.dumps(measure(f"127.0.0.1:{port}", int(sys.argv[1]))))
    finally:
        os.kill(server, 9)
        os.waitpid(server, 0)
    return 0


def measure(target: str, pairs: int) -> dict[str, object]:
    """Return the seconds of each part."""
    import scenario_basic_orbit_lynx as scenario
    from lynx_sdk import RunConfig, Telemetry

    plan = scenario.plan_from(RunConfig(parameters=PARAMETERS))
    for _ in scenario.simulate(plan):  # what is imported late
        pass
    begin = time.perf_counter()
    import grpc  # noqa: F401

    import lynx_sdk._buffer  # noqa: F401

    imported = time.perf_counter() - begin
    without, with_telemetry, opened = [], [], []
    for _ in range(pairs):
        begin = time.process_time()
        scenario.record(scenario.simulate(plan), Telemetry(None), 0.0)
        without.append(time.process_time() - begin)
        begin = time.perf_counter()
        telemetry = Telemetry(target, units=scenario.UNITS)
        telemetry.emit(0.0, {"warm.up": 1.0})
        if not telemetry.flush(30):
            sys.exit("the server does not answer")
        opened.append(time.perf_counter() - begin)
        begin = time.process_time()
        scenario.record(scenario.simulate(plan), telemetry, 0.0)
        with_telemetry.append(time.process_time() - begin)
        if not telemetry.close(30):
            sys.exit("samples were lost")
    return {"import": imported, "open": opened, "without": without, "with": with_telemetry}


if __name__ == "__main__":
    sys.exit(main())
