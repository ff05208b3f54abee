"""A telemetry server to test against: real gRPC, scripted behaviour."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc

from lynx_sdk._proto import telemetry_pb2 as pb

Handler = Callable[[Iterator[pb.StreamRequest], grpc.ServicerContext], Iterator[pb.StreamResponse]]


class TelemetryServer:
    """Serves on a free port of 127.0.0.1; keeps what a real server would keep."""

    def __init__(self, port: int = 0) -> None:
        self.handler: Handler = self.acknowledge_all
        self.requests: list[pb.StreamRequest] = []  # as they came, duplicates too
        self.streams = 0
        self.ended_cleanly = 0
        self.changed = threading.Condition()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        method = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=pb.StreamRequest.FromString,
            response_serializer=pb.StreamResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "lynx.telemetry.v1.TelemetryService", {"Stream": method}
                ),
            )
        )
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.target = f"127.0.0.1:{self.port}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()

    def _stream(
        self, requests: Iterator[pb.StreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StreamResponse]:
        with self.changed:
            self.streams += 1
        yield from self.handler(self._recorded(requests), context)
        with self.changed:
            self.ended_cleanly += 1
            self.changed.notify_all()

    def _recorded(self, requests: Iterator[pb.StreamRequest]) -> Iterator[pb.StreamRequest]:
        for request in requests:
            with self.changed:
                self.requests.append(request)
                self.changed.notify_all()
            yield request

    @staticmethod
    def acknowledge_all(
        requests: Iterator[pb.StreamRequest], _: grpc.ServicerContext
    ) -> Iterator[pb.StreamResponse]:
        for request in requests:
            yield pb.StreamResponse(acknowledged_sequence=request.sequence)

    def wait_for(self, predicate: Callable[[TelemetryServer], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: predicate(self), 20)

    def kept(self) -> list[pb.StreamRequest]:
        """The batches without duplicates, which must agree, and without gaps."""
        batches: dict[int, pb.StreamRequest] = {}
        with self.changed:
            for request in self.requests:
                assert batches.setdefault(request.sequence, request) == request
        assert sorted(batches) == list(range(1, len(batches) + 1))
        return [batches[n] for n in sorted(batches)]

    def samples(self) -> list[tuple[float, dict[str, tuple[float, str]]]]:
        """The samples of all batches, in order: time, and value and unit by name."""
        return [
            (sample.time_seconds, {v.name: (v.value, v.unit) for v in sample.values})
            for batch in self.kept()
            for sample in batch.samples
        ]
