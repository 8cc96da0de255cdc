"""Throw-away certificates, made by OpenSSL's command line: one authority, and a leaf per identity with one URI name."""

import hashlib
import pathlib
import subprocess

DOMAIN = "lorestan.example"


def _openssl(*arguments, stdin=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=stdin, check=True, capture_output=True).stdout


class Authority:
    """One authority and its folder."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        folder.mkdir(parents=True)
        self.cert, self.key = folder / "ca.crt", folder / "ca.key"
        _openssl(
            *"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=interop".split(),
            *["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.key, "-out", self.cert],
        )

    def issuer(self):
        """`sha256:…` of the public key, as a registry names it."""
        public = _openssl("x509", "-in", self.cert, "-pubkey", "-noout")
        der = _openssl("pkey", "-pubin", "-outform", "DER", stdin=public)
        return "sha256:" + hashlib.sha256(der).hexdigest()

    def issue(self, subsystem):
        """The paths of a certificate and a key for `class/member/subsystem`."""
        name = subsystem.replace("/", "-")
        cert, key, request = (self.folder / f"{name}.{kind}" for kind in ("crt", "key", "csr"))
        _openssl(
            *"req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=interop".split(),
            *["-keyout", key, "-out", request],
        )
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName=URI:spiffe://{DOMAIN}/{subsystem},DNS:localhost\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n"
            "basicConstraints=critical,CA:FALSE\n"
        )
        _openssl(
            *["x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial"],
            *["-days", "30", "-extfile", extensions, "-out", cert],
        )
        return cert, key
