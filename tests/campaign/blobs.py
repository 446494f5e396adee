"""The real Azurite for a campaign: started, killed, started again on its data, and read past every proxy."""

import base64
import datetime
import hashlib
import hmac
import http.client
import re
import subprocess
import time
import urllib.parse
import xml.etree.ElementTree
from pathlib import Path

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2022-11-02"
# What Azurite knows of blobs and of the bytes under them; it writes both every five seconds.
RECORDS = ["__azurite_db_blob__.json", "__azurite_db_blob_extent__.json"]


class Azurite:
    def __init__(self, run, folder):
        self.run, self.folder, self.port, self.child, self.marks = run, folder, 0, None, 0
        folder.mkdir()
        self.start()

    def start(self):
        self.child = subprocess.Popen(
            [self.run, "--blobPort", str(self.port), "--location", self.folder, "--disableTelemetry",
             "--skipApiVersionCheck", "--silent"], cwd=self.folder, stdout=subprocess.PIPE, text=True)
        said = ""
        for line in self.child.stdout:
            said += line
            if found := re.search(r"successfully listens on http://127.0.0.1:(\d+)", line):
                self.port = int(found[1])
                return
        raise SystemExit(f"Azurite did not start:\n{said}")

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def settle(self):
        """Until all that was acknowledged up to now is on the disk: a killed Azurite forgets the rest. Azure would not."""
        self.marks += 1
        mark = f"mark-{self.marks}"
        self.ask("PUT", f"marks/{mark}", {}, mark.encode(), {"x-ms-blob-type": "BlockBlob"})
        deadline = time.monotonic() + 60
        while True:
            paths = [self.folder / name for name in RECORDS]
            blobs, extents = (path.read_text() if path.exists() else "" for path in paths)
            # The blob's record names the extent that holds its bytes.
            found = re.search(r'"name":"' + mark + r'".*?"persistency":\{"id":"([^"]+)"', blobs)
            if found and found[1] in extents:
                return
            if time.monotonic() > deadline:
                raise SystemExit("Azurite does not write its records")
            time.sleep(0.05)

    def container(self, name):
        self.ask("PUT", name, {"restype": "container"})

    def names(self, container, prefix):
        found, marker = [], ""
        while True:
            text = self.ask("GET", container, {"restype": "container", "comp": "list", "prefix": prefix, "marker": marker})
            page = xml.etree.ElementTree.fromstring(text)
            found += [blob.findtext("Name") for blob in page.iter("Blob")]
            marker = page.findtext("NextMarker")
            if not marker:
                return found

    def read(self, container, name):
        return self.ask("GET", f"{container}/{name}", {})

    def ask(self, method, path, query, body=b"", headers=None):
        tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
        expiry = tomorrow.strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"{ACCOUNT}\nrwdlac\nb\nsco\n\n{expiry}\n\n\n{VERSION}\n\n"
        signature = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        query = {**query, "sv": VERSION, "ss": "b", "srt": "sco", "sp": "rwdlac", "se": expiry,
                 "sig": base64.b64encode(signature).decode()}
        url = f"/{ACCOUNT}/{urllib.parse.quote(path)}?{urllib.parse.urlencode(query)}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, url, body, {"x-ms-version": VERSION, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status >= 300:
                raise SystemExit(f"{method} {path}: {answer.status} {content.decode(errors='replace')}")
            return content
        finally:
            connection.close()


def digests(folder):
    """The digest of each file below a folder, by its path; those that are told to be unfinished are left out."""
    files = (path for path in Path(folder).rglob("*") if path.is_file() and not path.name.startswith(".amlrun-"))
    return {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in files}


def digest(content):
    return hashlib.sha256(content).hexdigest()
