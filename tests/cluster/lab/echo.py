"""What runs inside the pods of a test: `serve NAME` answers each line with its name in front;
`request` does so all the time what its standard input says:

    add NAME ADDRESS   request this server from now on
    drop NAME          no more, the last answer was waited for; says `dropped NAME`
    end                say in JSON what came of it
"""

import asyncio
import json
import sys
import time

PORT = 8080
INTERVAL = 0.06  # seconds between requests, each on a connection of its own
PATIENCE = 2  # seconds that a request may take
WARM_UP = 20  # seconds until the first answer, as a readiness probe allows


async def serve(name: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        writer.write(f"{name} ".encode() + line)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, None, PORT, backlog=256)
    print("ready", flush=True)
    await server.serve_forever()


class Target:
    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.answers = 0
        self.failures: list[str] = []
        self.longest_gap = 0.0
        self.wanted = True
        self.task = asyncio.create_task(self._request_all_the_time())

    async def _request_all_the_time(self) -> None:
        begin = last = time.monotonic()
        while self.wanted:
            try:
                await asyncio.wait_for(self._request(), PATIENCE)
            except (OSError, ValueError, asyncio.TimeoutError) as error:
                now = time.monotonic()
                if self.answers or now - begin > WARM_UP:
                    self.failures.append(f"{time.strftime('%H:%M:%S')} {error!r}")
                    last = now
            else:
                now = time.monotonic()
                if self.answers:
                    self.longest_gap = max(self.longest_gap, now - last)
                self.answers += 1
                last = now
            await asyncio.sleep(INTERVAL)

    async def _request(self) -> None:
        token = f"{self.answers}-{time.monotonic_ns()}"
        reader, writer = await asyncio.open_connection(self.address, PORT)
        try:
            writer.write(f"{token}\n".encode())
            line = (await reader.readline()).decode()
        finally:
            writer.close()
        if line != f"{self.name} {token}\n":
            raise ValueError(f"{self.address} answered {line!r}, wanted {self.name} {token}")

    def report(self) -> dict:
        return {
            "name": self.name,
            "address": self.address,
            "answers": self.answers,
            "failures": self.failures,
            "longest_gap": self.longest_gap,
        }


async def request() -> None:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    targets: dict[str, Target] = {}
    print("ready", flush=True)
    while line := (await reader.readline()).decode().split():
        if line[0] == "add":
            targets[line[1]] = Target(*line[1:])
        elif line[0] == "drop":
            targets[line[1]].wanted = False
            await targets[line[1]].task
            print("dropped", line[1], flush=True)
        else:
            for target in targets.values():
                target.wanted = False
            await asyncio.gather(*(target.task for target in targets.values()))
            print(json.dumps([target.report() for target in targets.values()]), flush=True)
            return


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[2]) if sys.argv[1] == "serve" else request())
