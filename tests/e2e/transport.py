# SPDX-License-Identifier: MIT
"""How clients of the tests reach a server that speaks TLS: a test authority (tools/certs), made once for the process when it
is first asked for, and an environment in which everybody believes it: python3-websockets, http.client, curl and openssl by
SSL_CERT_FILE, node by NODE_EXTRA_CA_CERTS.

`everywhere` (run.py --tls, cases.py --tls): every listener of every Server speaks TLS, and so does every client."""
import atexit
import functools
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

everywhere = False


@functools.cache
def certificates():
    """The folder with what tools/certs makes; from here on its authority is believed."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringcast-certs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([ROOT / "tools" / "certs", folder], check=True, stdin=subprocess.DEVNULL)
    os.environ["SSL_CERT_FILE"] = os.environ["NODE_EXTRA_CA_CERTS"] = str(folder / "authority.pem")
    return folder


def pair(name):
    """The two files of a certificate, as tls.certificates has them."""
    return f"{certificates() / name}.pem {certificates() / name}.key"


@functools.cache
def trusting():
    """The context of an honest client."""
    return ssl.create_default_context(cafile=certificates() / "authority.pem")


def wrap(plain, *, context=None, name="localhost"):
    """A TLS client on a connected socket, its handshake done."""
    return (context or trusting()).wrap_socket(plain, server_hostname=name)


def use_everywhere():
    global everywhere
    everywhere = True
    certificates()
