"""The chat face: the same tasks, commanded from Telegram.

`service.py` is the only entry; nothing here imports `pyrogram` before a service is started with credentials and an
allow-list. `client.py` is the only module that touches the library; everybody else speaks `gateway.py`.
"""
