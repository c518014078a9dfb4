"""Connects a pipe to NATS: each message of a subject is a line, each line a message. Needs `pip install nats-py`.

python examples/nats_lines.py sub SUBJECT
python examples/nats_lines.py pub SUBJECT
"""

from __future__ import annotations

import asyncio
import os
import sys

import nats


async def main(mode: str, subject: str) -> None:
    client = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    if mode == "sub":
        subscription = await client.subscribe(subject, queue=f"vae-{subject}")  # copies of this process share the rows
        await client.flush()
        print(f"listening to {subject}", file=sys.stderr, flush=True)
        async for message in subscription.messages:
            print(message.data.decode(), flush=True)
    else:
        while line := await asyncio.to_thread(sys.stdin.readline):
            await client.publish(subject, line.rstrip("\n").encode())
            await client.flush()
    await client.drain()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
