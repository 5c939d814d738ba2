"""A crew: machines that train for each other. Its file says where its scheduler is, and proves who belongs to it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed import Security

from drilldown.errors import DrilldownError, Problem
from drilldown.files import explain_file_errors
from drilldown.settings import CREW_PORT

VALID_DAYS = 365
LARGEST_FILE = 100_000
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """What a crew's file contains.

    Everybody who has the file can execute programs on all machines of the crew: it is a secret, like a key of SSH.
    """

    address: str
    """The address of the scheduler: `tls://HOST:PORT`."""
    certificate: str
    """The certificate of scheduler, workers and drivers, which all of them ask each other for; PEM."""
    key: str
    """The private key of the certificate; PEM."""

    @property
    def host(self) -> str:
        """The name or address of the scheduler's machine.

        >>> Crew(address="tls://[fd93::1]:8786", certificate="", key="").host
        'fd93::1'
        """
        return self._parts[0]

    @property
    def port(self) -> int:
        """The port of the scheduler."""
        return self._parts[1]

    @property
    def _parts(self) -> tuple[str, int]:
        parts = urlsplit(self.address)
        if parts.scheme != "tls" or not parts.hostname or not parts.port:
            raise ValueError(f'the address "{self.address}" is not tls://HOST:PORT')
        return parts.hostname, parts.port

    @property
    def security(self) -> Security:
        """What Dask needs for connections that are encrypted and where both sides prove who they are."""
        sides = {
            f"tls_{side}_{part}": value
            for side in ("client", "scheduler", "worker")
            for part, value in (("key", self.key), ("cert", self.certificate))
        }
        return Security(require_encryption=True, tls_ca_file=self.certificate, **sides)

    @property
    def expires(self) -> datetime:
        """When the certificate ends."""
        return x509.load_pem_x509_certificate(self.certificate.encode()).not_valid_after_utc


def make_crew(host: str, port: int = CREW_PORT) -> Crew:
    """Makes a crew with a fresh key.

    *Arguments*: `host`: the name or address at which all machines reach the scheduler.

    *Raises* DrilldownError where it cannot be a name or an address.
    """
    if not _HOST.fullmatch(host):
        raise DrilldownError(
            Problem(
                place="--host",
                found=f'"{host}" is not a name or an address',
                expected="one such as node1.example.org, 192.168.1.5 or fd00::5",
            )
        )
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "drilldown crew")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # other machines' clocks may be behind
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Crew(
        address=f"tls://[{host}]:{port}" if ":" in host else f"tls://{host}:{port}",
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def write_crew(crew: Crew, file: Path) -> None:
    """Writes a crew's file, which only its owner can read; it must not exist yet.

    *Raises* DrilldownError where it cannot be written.
    """
    with explain_file_errors(file):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
            sink.write(json.dumps(asdict(crew), indent=2) + "\n")


def read_crew(file: Path) -> Crew:
    """Reads a crew's file.

    *Raises* DrilldownError where it is missing or damaged, others can read it, or its certificate has expired.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE)
            mode = os.fstat(opened.fileno()).st_mode
    except OSError as error:
        raise DrilldownError(
            Problem(
                file=file,
                found=f"cannot be read ({error.strerror})",
                expected="a crew's file",
                suggestion="make one with drilldown crew start --host ADDRESS",
            )
        ) from None
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise DrilldownError(
            Problem(
                file=file,
                found=f"other users can read or change this secret (mode {stat.S_IMODE(mode):03o})",
                expected="mode 600",
                suggestion=f"chmod 600 {file}",
            )
        )
    try:
        document = json.loads(content)
        crew = Crew(**{key: document[key] for key in ("address", "certificate", "key")})
        expires = crew.expires
        _check_parts(crew)
    except Exception as error:  # noqa: BLE001 - a damaged certificate raises one of many
        raise DrilldownError(
            Problem(file=file, found=f"not a crew's file ({str(error).splitlines()[0] or type(error).__name__})")
        ) from None
    if expires < datetime.now(UTC):
        raise DrilldownError(
            Problem(
                file=file,
                found=f"the crew's certificate ended on {expires:%Y-%m-%d}",
                suggestion="delete the file, start the crew again, and copy the new file to all machines",
            )
        )
    return crew


def _check_parts(crew: Crew) -> None:
    """Raises ValueError where the parts of a crew's file do not fit together."""
    _ = crew.host, crew.port
    certificate = x509.load_pem_x509_certificate(crew.certificate.encode())
    if serialization.load_pem_private_key(crew.key.encode(), None).public_key() != certificate.public_key():
        raise ValueError("the key does not belong to the certificate")


def no_answer(crew: Crew, file: Path) -> DrilldownError:
    """The error for a crew whose scheduler does not answer."""
    return DrilldownError(
        Problem(
            file=file,
            found=f"no crew answers at {crew.address}",
            suggestion=f"start it there with drilldown crew start --file {file}",
        )
    )


def abilities(*, native: bool, cuda: bool) -> Sequence[str]:
    """What a worker offers and a task needs: the same versions, and an engine or a GPU.

    A task waits for a worker that has all that it needs: a worker without a compiler never trains with another engine
    than its driver chose.
    """
    offered = [("native", native), ("cuda", cuda)]
    return [versions_text(), *(name for name, there in offered if there)]


def versions_text() -> str:
    """The versions that driver and workers must share."""
    torch = metadata.version("torch").partition("+")[0]
    return f"drilldown {metadata.version('drilldown')}, torch {torch}"
