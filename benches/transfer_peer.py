"""The peer of benches/transfer.py: Python's azure-storage-blob, used as a user in a hurry would.

    transfer_peer.py import
    transfer_peer.py up|down|check ENDPOINT CONTAINER PREFIX FOLDER

Files of 8 MiB and more go one after the other, each over four connections (of two to eight the fastest here, with the
blocks that the library chooses); small ones go 16 at once. `check` says
on standard output how many files and bytes lie below the prefix.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
LARGE, AT_ONCE, CONNECTIONS = 8 << 20, 16, 4


def upload(container, prefix, folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]

    def one(path, connections=1):
        with path.open("rb") as file:
            name = f"{prefix}/{path.relative_to(folder).as_posix()}"
            container.upload_blob(name, file, length=path.stat().st_size, overwrite=True, max_concurrency=connections)

    in_two_ways(files, lambda path: path.stat().st_size, one)


def download(container, prefix, folder):
    blobs = list(container.list_blobs(name_starts_with=f"{prefix}/"))
    targets = {blob.name: Path(folder) / blob.name[len(prefix) + 1:] for blob in blobs}
    for parent in {target.parent for target in targets.values()}:
        parent.mkdir(parents=True, exist_ok=True)

    def one(blob, connections=1):
        with targets[blob.name].open("wb") as file:
            container.download_blob(blob.name, max_concurrency=connections).readinto(file)

    in_two_ways(blobs, lambda blob: blob.size, one)


def in_two_ways(items, size, one):
    for item in items:
        if size(item) >= LARGE:
            one(item, CONNECTIONS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, [item for item in items if size(item) < LARGE]))


def main():
    if sys.argv[1] == "import":
        return
    what, endpoint, name, prefix, folder = sys.argv[1:]
    service = BlobServiceClient(endpoint, credential={"account_name": "devstoreaccount1", "account_key": KEY})
    container = service.get_container_client(name)
    if what == "up":
        try:
            container.create_container()
        except ResourceExistsError:
            pass
        upload(container, prefix, folder)
    elif what == "down":
        download(container, prefix, folder)
    else:
        sizes = [blob.size for blob in container.list_blobs(name_starts_with=f"{prefix}/")]
        print(len(sizes), sum(sizes))


if __name__ == "__main__":
    main()
