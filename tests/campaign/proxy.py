"""A proxy between `amlrun cp` and Azurite that breaks what passes, at random moments from one seed.

It knows of each request what it is and where its body ends, and it records which uploads the client surely heard to have
succeeded: after the answer, the client used the connection again or closed it in order (what closes with an answer
unread is reset by the kernel). Two such for one block, or for one blob put as a whole, are an upload done twice.
"""

import asyncio
import collections
import random
import socket
import struct
import threading
import urllib.parse

# A request with so many bytes, there or back, is a large one.
LARGE = 256 << 10
# What can happen to a request, and how often beside the others.
FAULTS = {
    "reset before the request was read": 2,
    "reset in mid-request": 4,
    "reset after the service did it, before an answer": 4,
    "reset in mid-answer": 4,
    "answer broken off in order": 3,
    "503, Retry-After: 0": 4,
    "503, Retry-After: 1": 1,
    "stalled in mid-request": 1,
    "stalled before the answer": 1,
    "stalled in mid-answer": 1,
}
STALL = 3  # seconds: three times what the client has patience for
HELD = "the service killed with the request open"


class Gone(Exception):
    """The conversation with a client is over."""


class Proxy:
    """Listens on a port of its own in a thread of its own; forwards to the port of Azurite."""

    def __init__(self, target, seed):
        self.target, self.dice, self.rate = target, random.Random(seed), 0.0
        self.faults, self.requests, self.open = collections.Counter(), 0, 0
        self.heard = collections.Counter()
        self.strange = []
        self.epoch, self.moment = 0, None
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self.serve, args=(ready,), daemon=True).start()
        ready.wait()

    def serve(self, ready):
        asyncio.set_event_loop(self.loop)
        self.gate = asyncio.Event()
        self.gate.set()
        server = self.loop.run_until_complete(asyncio.start_server(self.converse, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    def call(self, act):
        """Runs a function in the proxy's thread, so that no request sees a half of it."""
        async def inside():
            return act()
        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result()

    def at(self, count, large, act):
        """Has something done in the middle of the request with that number from now, or of the large one with it."""
        self.call(lambda: setattr(self, "moment", [count, large, act]))

    def never(self):
        self.call(lambda: setattr(self, "moment", None))

    def passes(self, large):
        if self.moment and self.moment[1] == large:
            self.moment[0] -= 1
            if self.moment[0] == 0:
                # A moment of its own within the request.
                self.loop.call_later(self.dice.uniform(0, 0.03), self.moment[2])
                self.moment = None

    def hold(self):
        """From now on nothing is forwarded, and no answer delivered."""
        self.call(self.gate.clear)

    def release(self):
        """Goes on; what was answered before it was held is never delivered."""
        def act():
            self.epoch += 1
            self.gate.set()
        self.call(act)

    def twice(self):
        """Uploads that the client heard of more than once."""
        return sorted(" ".join(key) for key, count in self.heard.items() if count > 1)

    async def converse(self, reader, writer):
        # The upload whose success was the last answer here: heard only when the client goes on.
        answered = None
        try:
            while True:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.IncompleteReadError as end:
                    if not end.partial and answered:
                        self.heard[answered] += 1
                    return
                if answered:
                    self.heard[answered] += 1
                self.requests += 1
                self.open += 1
                try:
                    self.passes(large=False)
                    answered = await self.one(head, reader, writer)
                finally:
                    self.open -= 1
        except (Gone, ConnectionError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()

    async def one(self, head, reader, writer):
        """One request with its answer: the upload that it is, when it succeeded."""
        method, target, length = parse(head)
        if length is None:
            self.strange.append(f"{method} {target} has a body of no told length")
            raise Gone
        fault = self.fault()
        if fault == "reset before the request was read":
            self.reset(writer)
        if fault in ("reset in mid-request", "stalled in mid-request"):
            await reader.readexactly(self.dice.randrange(length) if length else 0)
            await self.broken(fault, writer)
        if length >= LARGE:
            self.passes(large=True)
        body = await reader.readexactly(length)
        if fault and fault.startswith("503"):
            writer.write(busy(fault[-1], method == "HEAD"))
            await writer.drain()
            return None
        epoch = self.epoch
        await self.gate.wait()
        if reader.at_eof():
            raise Gone
        status, answer, head_length = await self.ask(method, head + body)
        if not self.gate.is_set() or epoch != self.epoch:
            await self.gate.wait()
            self.faults[HELD] += 1
            self.reset(writer)
        if len(answer) >= LARGE:
            self.passes(large=True)
        if fault in ("reset after the service did it, before an answer", "stalled before the answer"):
            await self.broken(fault, writer)
        if fault:
            # Somewhere in the body, or in the head where there is no body.
            first = head_length if len(answer) > head_length + 1 else 0
            writer.write(answer[:self.dice.randrange(first, len(answer))])
            await writer.drain()
            await self.broken(fault, writer)
        if reader.at_eof():
            raise Gone
        writer.write(answer)
        await writer.drain()
        return upload(method, target) if status == 201 else None

    def fault(self):
        if self.dice.random() >= self.rate:
            return None
        fault = self.dice.choices(list(FAULTS), list(FAULTS.values()))[0]
        self.faults[fault] += 1
        return fault

    async def broken(self, fault, writer):
        if fault.startswith("stalled"):
            await asyncio.sleep(STALL)
        if fault == "answer broken off in order":
            writer.close()
            raise Gone
        self.reset(writer)

    def reset(self, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        raise Gone

    async def ask(self, method, request):
        """Azurite's status, its whole answer, and how long the head of that is."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 20)
        try:
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            lines = head.lower()
            if method == "HEAD" or status in (204, 304):
                body = b""
            elif b"\r\ntransfer-encoding: chunked" in lines:
                body = b""
                while not body.endswith(b"\r\n0\r\n\r\n") and body != b"0\r\n\r\n":
                    size = await reader.readuntil(b"\r\n")
                    body += size + await reader.readexactly(int(size, 16) + 2)
            else:
                body = await reader.readexactly(parse(head)[2])
            return status, head + body, len(head)
        finally:
            writer.transport.abort()


def parse(head):
    """The first two words of a head, and the length of the body (None: a request in chunks)."""
    lines = head.decode("latin-1").split("\r\n")
    first, second = lines[0].split(" ")[:2]
    headers = dict((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:]))
    if "transfer-encoding" in headers:
        return first, second, None
    return first, second, int(headers.get("content-length", 0))


def upload(method, target):
    """What a request puts there: ("block", blob, id) or ("blob", blob), or None."""
    path, _, query = target.partition("?")
    query = urllib.parse.parse_qs(query)
    if method != "PUT" or "restype" in query:
        return None
    blob = urllib.parse.unquote(path).split("/", 3)[-1]
    comp = query.get("comp", [None])[0]
    if comp == "block":
        return "block", blob, query["blockid"][0]
    return ("blob", blob) if comp is None else None


def busy(after, is_head):
    body = b"" if is_head else (b'<?xml version="1.0" encoding="utf-8"?><Error><Code>ServerBusy</Code>'
                                b"<Message>The server is busy.</Message></Error>")
    lines = ["HTTP/1.1 503 Server Busy", "x-ms-error-code: ServerBusy", f"Retry-After: {after}",
             "Content-Type: application/xml", "x-ms-request-id: 00000000-0000-4000-8000-000000000000", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
