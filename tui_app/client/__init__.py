"""Clients of a daemon: `remote` for the interface (asyncio, HTTP and WebSocket), `local` for the command line.

Nothing is imported here: the command line must not pay for asyncio.
"""
