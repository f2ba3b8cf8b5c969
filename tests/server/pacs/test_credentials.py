"""How the gateway proves to an archive who it is, by password, token or certificate, and what if it cannot."""

import base64
import datetime
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from radserve_server.errors import ArchiveError, ArchiveRefused, ArchiveUnreachable
from radserve_server.pacs.archive import InstanceAddress
from radserve_server.pacs.configuration import open_archives
from radserve_server.pacs.fake import FakeArchive, running_fake_archive
from radserve_server.settings import Settings

LOOPBACK = ipaddress.ip_address("127.0.0.1")


class Authority:
    """Signs certificates, its own first."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file, _ = self.sign(name, self.key)

    def sign(self, name, key=None):
        """Certificate and key as files; that of an authority where a key is given."""
        own = key or ec.generate_private_key(ec.SECP256R1())
        subject, issuer = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, self.name)
        )
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=key is not None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOOPBACK)]), critical=False)
        )
        signed = builder.sign(self.key, hashes.SHA256())
        certificate, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        secret.write_bytes(own.private_bytes(serialization.Encoding.PEM, kind, plain))
        return certificate, secret


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "hospital")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other-ca"), "stranger")


@pytest.fixture
def fetch(tmp_path, ct, name_of):
    """Fetch the slice from an archive that the file describes."""

    async def run(archive, text):
        path = tmp_path / "pacs.toml"
        path.write_text(f'[ward]\nurl = "{archive.url}"\n{text}')
        reference = name_of(ct)
        address = InstanceAddress("ward", reference["study"], reference["series"], reference["instances"][0])
        archives = open_archives(Settings(pacs_file=path))
        try:
            return await archives.get("ward", "pacs").fetch(address)
        finally:
            await archives.close()

    return run


async def test_a_password_is_sent_and_a_wrong_one_is_refused(fetch, ct, monkeypatch):
    told = base64.b64encode(b"reader:right").decode()
    with running_fake_archive(FakeArchive([ct], authorization=f"Basic {told}")) as archive:
        named = 'username = "reader"\npassword_env = "WARD_PASSWORD"'
        monkeypatch.setenv("WARD_PASSWORD", "right")
        assert await fetch(archive, named) == ct
        monkeypatch.setenv("WARD_PASSWORD", "wrong")
        for text in (named, ""):
            with pytest.raises(ArchiveRefused):
                await fetch(archive, text)


async def test_a_token_is_read_anew_from_its_file(tmp_path, ct, name_of):
    """It was renewed while the gateway ran."""
    token = tmp_path / "token"
    token.write_text("first\n")
    reference = name_of(ct)
    with running_fake_archive(FakeArchive([ct], authorization="Bearer first")) as archive:
        file = tmp_path / "pacs.toml"
        file.write_text(f'[ward]\nurl = "{archive.url}"\ntoken_file = "{token}"')
        ward = open_archives(Settings(pacs_file=file)).get("ward", "pacs")
        try:
            assert await ward.list_series(reference["study"])
            archive.authorization = "Bearer second"
            with pytest.raises(ArchiveRefused):
                await ward.list_series(reference["study"])
            for broken in (b"", b"second\nand more", b"\xff"):
                token.write_bytes(broken)
                with pytest.raises(ArchiveRefused, match="token_file"):
                    await ward.list_series(reference["study"])
            token.write_text("second")
            assert await ward.list_series(reference["study"])
        finally:
            await ward.close()


async def test_a_client_certificate_opens_the_archive_and_a_foreign_one_does_not(
    authority, stranger, fetch, ct
):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.file)
    tls.load_cert_chain(*authority.sign("archive"))
    tls.verify_mode = ssl.CERT_REQUIRED
    trusted = f'ca_file = "{authority.file}"\n'
    with running_fake_archive(FakeArchive([ct]), tls=tls) as archive:
        assert await fetch(archive, trusted + client(*authority.sign("gateway"))) == ct
        for text in (trusted, trusted + client(*stranger.sign("gateway"))):
            with pytest.raises(ArchiveError, match="certificate"):
                await fetch(archive, text)


async def test_an_archive_whose_certificate_is_not_trusted_gets_no_request(stranger, fetch, ct):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*stranger.sign("archive"))
    with running_fake_archive(FakeArchive([ct]), tls=tls) as archive:
        with pytest.raises(ArchiveUnreachable) as caught:
            await fetch(archive, "")
        assert caught.value.code == "archive_untrusted"
        assert not archive.requests
        assert await fetch(archive, f'ca_file = "{stranger.file}"') == ct


def client(certificate, key):
    return f'client_certificate = "{certificate}"\nclient_key = "{key}"\n'
