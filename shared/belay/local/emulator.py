"""The AWS emulator behind a guard. Run by the emulator's own Python, as `emulator.py SOCKET`; imports nothing of Belay.

SOCKET is the number of a socket that listens already, the only one. The first line of standard input names the
administrator of this run, and the end of that input is the end of whoever started it, with which everything here ends.
The guard passes on what is signed with a key of this run: the administrator's, or one that the emulator has made from
its own secret. Nothing that a browser sends for a page is passed on. A secret parameter is never written down. What
could not be stored ends this with a failure, and what cannot be restored is never taken for nothing.
"""

import asyncio
import importlib
import importlib.metadata
import json
import logging
import os
import resource
import secrets
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

WRITTEN_FOR = "1.5.33"
# What is replaced or called here, by module.
NEEDED = {
    "app": ("AUTH", "_get_module", "_load_persisted_state", "_state_map", "app", "save_all"),
    "core.iam_evaluator": ("CredentialResolutionError", "resolve_credential"),
    "core.lambda_runtime": ("execution_credentials",),
    "core.persistence": ("STATE_DIR", "load_state", "logger"),
    "core.router": ("extract_access_key_id",),
    "core.sigv4": ("header_signature_failure", "parse_header_signature"),
    "services.lambda_svc": ("execution_credentials",),
    "services.ssm": ("get_state",),
}
SECRET_TYPE = "SecureString"  # noqa: S105 a kind of parameter
STORE_SECONDS = 15  # how long an emulator whose starter is gone may take to store its state
KEEP_ALIVE_SECONDS = 75
OWN_NAMES = ("127.0.0.1", "localhost")
ALGORITHM = b"AWS4-HMAC-SHA256 "

type Scope = dict[str, Any]
type Message = dict[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]


def main() -> None:
    """Serve until SIGTERM, or until whoever started this is gone."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    # Functions inherit this environment, with their own keys in the place of these.
    os.environ.update(json.loads(sys.stdin.readline()))
    ended = threading.Event()
    threading.Thread(target=end_with_starter, args=(ended,), daemon=True).start()
    parts = load()
    salt_function_keys(parts, secrets.token_hex(32))
    keep_secrets_unwritten(parts["services.ssm"])
    restore_all_or_end(parts["app"], parts["core.persistence"])
    storing = Storing(parts["app"], parts["core.persistence"].logger)
    try:
        serve(guarded(parts, os.environ["GATEWAY_PORT"]), int(sys.argv[1]))
    finally:
        if ended.is_set():
            kill_all()
    if not storing.succeeded:
        sys.exit("the AWS emulator could not store all of its state")


def end_with_starter(ended: threading.Event) -> None:
    """Once standard input ends, let the state be stored, and end whatever still runs after that."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    ended.set()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STORE_SECONDS)
    kill_all()


def kill_all() -> None:
    """The emulator leads a process group of its own, in which are its functions."""
    os.killpg(os.getpid(), signal.SIGKILL)


def load() -> dict[str, ModuleType]:
    """The emulator's parts that are needed. Ends the process where they are not what this was written for."""
    found = importlib.metadata.version("ministack")
    if found != WRITTEN_FOR:
        sys.exit(f"the AWS emulator is version {found}, but its guard is written for {WRITTEN_FOR}: run `make setup`")
    parts = {name: importlib.import_module(f"ministack.{name}") for name in NEEDED}
    missing = [f"{name}.{item}" for name, items in NEEDED.items() for item in items if not hasattr(parts[name], item)]
    if missing:
        sys.exit(f"the AWS emulator has no {', '.join(missing)}, which its guard needs: run `make clean setup`")
    if not parts["app"].AUTH:
        sys.exit("the AWS emulator checks no rights: start it with AUTH=true")
    return parts


def salt_function_keys(parts: Mapping[str, Any], salt: str) -> None:
    """The emulator derives a function's keys from its ARN, which anyone can: derive them from a secret, too."""
    derive = parts["core.lambda_runtime"].execution_credentials

    def salted(config: Mapping[str, Any]) -> Any:
        return derive({**config, "FunctionArn": f"{config['FunctionArn']}:{salt}"})

    for name in ("core.lambda_runtime", "services.lambda_svc"):
        parts[name].execution_credentials = salted


def keep_secrets_unwritten(ssm: Any) -> None:
    """The state that is stored at the end holds no secret parameter and no former value of one."""
    whole = ssm.get_state

    def without_secrets() -> Any:
        state = whole()
        for held in (state["parameters"]._data, state["parameter_history"]._data):
            for name in [name for name, record in held.items() if SECRET_TYPE in repr(record)]:
                del held[name]
        return state

    ssm.get_state = without_secrets


# --- what is kept ----------------------------------------------------------------------------------------------------


class Storing(logging.Handler):
    """Whether all of the state was stored in the end: the emulator logs what it could not store, and goes on."""

    def __init__(self, app: Any, log: logging.Logger) -> None:
        super().__init__(logging.ERROR)
        self.succeeded = self._failed = False
        save_all = app.save_all

        def save(services: Mapping[str, Any]) -> None:
            self._failed = False
            save_all(services)
            self.succeeded = not self._failed

        app.save_all = save
        log.addHandler(self)

    def emit(self, _record: logging.LogRecord) -> None:
        self._failed = True


def restore_all_or_end(app: Any, persistence: Any) -> None:
    """Left alone, the emulator begins with nothing in the place of what it cannot restore, and stores that in the end.

    Instead the process ends before it answers anything, and every file stays as it is.
    """

    def restore() -> None:
        for service, module in app._state_map.items():
            file = Path(persistence.STATE_DIR, f"{service}.json")
            try:
                if file.exists():
                    restore_one(app._get_module(module), persistence.load_state(service))
            except Exception as error:
                print(f"the AWS emulator cannot restore {file}: {error}", file=sys.stderr, flush=True)
                os._exit(1)  # the server that calls this would go on after an exception

    app._load_persisted_state = restore


def restore_one(service: Any, state: Any) -> None:
    """Raises ValueError where there is nothing to be restored."""
    if state is None:
        raise ValueError("it is damaged, or of a later version; put a copy there, or delete all: `make down CLEAN=1`")
    if state:
        service.load_persisted_state(state)


# --- the guard -------------------------------------------------------------------------------------------------------


class Refused(Exception):
    """Why a request is not passed on."""


def guarded(parts: Mapping[str, Any], port: str) -> App:
    """The emulator's application behind the guard."""
    app: App = parts["app"].app

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            try:
                body = await admitted(parts, port, scope, receive)
            except Refused as refused:
                await refuse(send, str(refused))
            else:
                await app(scope, replayed(body, receive), send)

    return guard


async def admitted(parts: Mapping[str, Any], port: str, scope: Scope, receive: Receive) -> bytes:
    """The body of a request that may pass, which is read only for a key of this run. Raises Refused."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        values.setdefault(name.lower(), []).append(value)
    require_no_page(values, port)
    if len(values.get(b"authorization", [])) != 1 or not values[b"authorization"][0].startswith(ALGORITHM):
        raise Refused("the request is not signed")
    headers = {name.decode("latin-1"): b",".join(value).decode(errors="replace") for name, value in values.items()}
    signature = parts["core.sigv4"].parse_header_signature(headers)
    # The emulator reads the header once more: it must find the key that is checked here.
    if isinstance(signature, tuple) or signature.access_key_id != parts["core.router"].extract_access_key_id(headers):
        raise Refused("the signature is malformed")
    evaluator = parts["core.iam_evaluator"]
    token = headers.get("x-amz-security-token", "")
    credential = evaluator.resolve_credential(signature.access_key_id, None, token)
    if isinstance(credential, evaluator.CredentialResolutionError):
        raise Refused("the key is not one of this run")
    body = await whole_body(receive)
    query = parse_qs(scope["query_string"].decode(errors="replace"), keep_blank_values=True)
    path = scope["raw_path"].decode("latin-1")
    failure = parts["core.sigv4"].header_signature_failure(
        signature, credential.secret_access_key, scope["method"], path, query, headers, body
    )
    if failure:
        raise Refused("the signature is not that of the key")
    return body


def require_no_page(values: Mapping[bytes, list[bytes]], port: str) -> None:
    """A browser names the origin of a page that asks; a name that was rebound to this machine is a foreign host."""
    if b"origin" in values:
        raise Refused("a web page may not ask")
    if values.get(b"host") not in [[f"{name}:{port}".encode()] for name in OWN_NAMES]:
        raise Refused("the request is for another host")


async def whole_body(receive: Receive) -> bytes:
    """Raises Refused where the client leaves before it has sent all of it."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused("the request is not complete")
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def replayed(body: bytes, receive: Receive) -> Receive:
    """What the emulator hears: the body that was read for it, and then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def hear() -> Message:
        return waiting.pop() if waiting else await receive()

    return hear


async def refuse(send: Send, reason: str) -> None:
    body = json.dumps({"__type": "AccessDeniedException", "message": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve(app: App, listening: int) -> None:
    """Answer on the socket until a signal; what runs is then finished, and the state stored."""
    asgi, server = importlib.import_module("hypercorn.asyncio"), importlib.import_module("hypercorn.config")
    config = server.Config()
    config.bind = [f"fd://{listening}"]
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    asyncio.run(asgi.serve(app, config))


if __name__ == "__main__":
    main()
