"""A Telegram server small enough for a test: one bot, scripted people, real MTProto over loopback TCP.

Key exchange, encryption and framing are real (core.telegram.org/mtproto); the client under test is the installed
one, unchanged but for the address it dials. The server speaks the layer of the installed client, whatever its
distribution, because it uses the client's own TL classes. It checks what the real service checks and tests rely on:
lengths, button data, parts, edits that change nothing, unknown keys.

    async with TelegramServer() as telegram:
        ann = telegram.person("Ann")
        ...  # start the bot under test with `telegram.token`
        ann.say("/zip /downloads/movies")
        reply = await ann.receives(lambda message: "Archiving" in message.text)
        answer = await ann.press(reply, "Pause")
"""

from tests.telegram_server.people import Media, Person, Sent
from tests.telegram_server.rpc import RpcError
from tests.telegram_server.server import TelegramServer

__all__ = ["Media", "Person", "RpcError", "Sent", "TelegramServer"]
