"""One certificate authority for a whole cluster, and what it signs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LIFETIME = timedelta(days=365)
_CLOCK_SKEW = timedelta(minutes=5)
_AUTHORITY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True)
class KeyPair:
    """A private key and what proves it: a certificate, or just the public key.

    Attributes:
        certificate: PEM file of the certificate (or of the public key).
        key: PEM file of the private key.
    """

    certificate: Path
    key: Path


class Pki:
    """A certificate authority that writes what it signs into a folder.

    Attributes:
        ca_file: PEM file of the authority's certificate.
    """

    def __init__(self, folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        """Wrap an existing authority; `create` makes a new one."""
        self._folder = folder
        self._key = key
        self._certificate = certificate
        self.ca_file = _write(folder / "ca.crt", _certificate_pem(certificate))

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Make a new authority whose files lie in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        key = _new_key()
        name = _name("devcluster-ca")
        certificate = (
            _builder(name, name, key.public_key(), signer=key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_AUTHORITY_USAGE, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(folder, key, certificate)

    def issue(
        self,
        name: str,
        *,
        common_name: str = "",
        organization: str = "",
        hosts: Sequence[str] = (),
    ) -> KeyPair:
        """Sign a certificate, for a server if it has hosts and for a client in any case.

        Args:
            name: Base name of the two files.
            common_name: To Kubernetes the name of the user; `name` by default.
            organization: To Kubernetes the user's group.
            hosts: DNS names and IP addresses the server is reached by.
        """
        key = _new_key()
        subject = _name(common_name or name, organization)
        builder = _builder(subject, self._certificate.subject, key.public_key(), signer=self._key).add_extension(
            x509.ExtendedKeyUsage(_USAGES), critical=False
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(
            _write(self._folder / f"{name}.crt", _certificate_pem(certificate)),
            _write(self._folder / f"{name}.key", _key_pem(key)),
        )

    def signing_pair(self, name: str) -> KeyPair:
        """Make a bare key pair, as service-account tokens are signed with."""
        key = _new_key()
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return KeyPair(
            _write(self._folder / f"{name}.pub", public),
            _write(self._folder / f"{name}.key", _key_pem(key)),
        )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    *,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    # Strict verifiers (Python from 3.13 on) insist on both key identifiers.
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(authority, critical=False)
    )


def _name(common_name: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
