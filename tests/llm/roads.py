"""The road to a provider, for tests: certificates of one's own, a TLS server, an HTTP proxy."""

import base64
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """A CA's certificate as a file; a server's with its key as a file, and as a context."""

    ca_file: Path
    server_file: Path
    server: ssl.SSLContext


def certificates(folder: Path, *names: str) -> Certificates:
    """A new CA that vouches for a server of these names."""
    ca_key, ca = _certificate("test CA", None, None, ())
    key, leaf = _certificate(names[0], ca, ca_key, names)
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    server_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + leaf.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server_file)
    return Certificates(ca_file=ca_file, server_file=server_file, server=context)


def _certificate(
    name: str,
    issuer: x509.Certificate | None,
    by: ec.EllipticCurvePrivateKey | None,
    names: tuple[str, ...],
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        builder = builder.add_extension(alternatives, critical=False)
    return key, builder.sign(by or key, hashes.SHA256())


@asynccontextmanager
async def tls_before(url: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """A TLS server before a plain one; gives its URL."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def handle(client: ByteStream) -> None:
        async with client, await _connected(url) as server:
            await _joined(client, server)

    async with listener, anyio.create_task_group() as tasks:
        served = TLSListener(listener, context, standard_compatible=False)
        tasks.start_soon(served.serve, handle)
        yield f"https://localhost:{listener.extra(SocketAttribute.local_port)}"
        tasks.cancel_scope.cancel()


@dataclass(kw_only=True)
class Proxy:
    """An HTTP proxy that sends everything on to one port of loopback, whatever it is asked for."""

    url: str
    leads_to: str
    password: str | None = None
    asked: list[str] = field(default_factory=list)

    def with_user(self, user: str) -> str:
        """Its URL with `name:password`, percent-encoded."""
        return self.url.replace("//", f"//{user}@")


@asynccontextmanager
async def proxy_to(leads_to: str, *, password: str | None = None) -> AsyncIterator[Proxy]:
    """Serve on loopback. `password`: `name:password`, without which it answers 407."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
    proxy = Proxy(url=url, leads_to=leads_to, password=password)

    async def handle(client: ByteStream) -> None:
        async with client:
            await _proxied(proxy, client)

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield proxy
        tasks.cancel_scope.cancel()


async def _proxied(proxy: Proxy, client: ByteStream) -> None:
    head, rest = await _head(client)
    line, *fields = head.decode().split("\r\n")
    proxy.asked.append(line)
    named = dict(field.split(": ", 1) for field in fields)
    given = {name.lower(): value for name, value in named.items()}.get("proxy-authorization")
    wanted = base64.b64encode((proxy.password or "").encode()).decode()
    if proxy.password is not None and given != f"Basic {wanted}":
        await client.send(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
        return
    async with await _connected(proxy.leads_to) as server:
        if line.startswith("CONNECT "):
            await client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            await server.send(head + b"\r\n\r\n" + rest)
        await _joined(client, server)


async def _head(client: ByteStream) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await client.receive()
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


async def _connected(url: str) -> ByteStream:
    return await anyio.connect_tcp("127.0.0.1", urlsplit(url).port or 0)


async def _joined(one: ByteStream, other: ByteStream) -> None:
    async def copy(source: ByteStream, target: ByteStream) -> None:
        try:
            while True:
                await target.send(await source.receive())
        except _ENDS:
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(copy, one, other)
        tasks.start_soon(copy, other, one)
